#include "CIntrinsics.h"

_Thread_local uint64_t flexpage_held_locks;
