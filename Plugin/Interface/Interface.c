#include "Interface.h"
