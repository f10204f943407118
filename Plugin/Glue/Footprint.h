// How much memory the process takes beside memory=, and locks where nbdkit --swap locks all of it.

#ifndef FLEXPAGE_FOOTPRINT_H
#define FLEXPAGE_FOOTPRINT_H

/// Gives the threads made from now on, nbdkit's too, small stacks, and the process few arenas of malloc. What the user
/// has set otherwise stays: a stack that is smaller (ulimit -s) or larger than the usual 8 MiB, and MALLOC_ARENA_MAX.
void footprint_reduce(void);

#endif
