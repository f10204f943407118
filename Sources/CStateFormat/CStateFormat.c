// The target has no code of its own: the header is all of it.
#include "CStateFormat.h"
