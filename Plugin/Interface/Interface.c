// A target needs a source file. This one checks that the header can be included by itself.
#include "Interface.h"
