// The header is the point of this target; a target needs a source, and this one checks that the header stands alone.
#include "Interface.h"
