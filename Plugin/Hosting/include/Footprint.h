// Memory that the process takes in addition to memory=, all of which nbdkit --swap locks.

#ifndef FLEXPAGE_FOOTPRINT_H
#define FLEXPAGE_FOOTPRINT_H

/// Gives threads created from now on, including nbdkit's, small stacks, and limits malloc to one arena. Explicit user
/// settings take precedence: a stack size other than the default of 8 MiB (ulimit -s), and MALLOC_ARENA_MAX. Only for
/// the plugin: a filter's threads, and nbdkit's, run code of others, which may need more.
void footprint_reduce(void);

#endif
