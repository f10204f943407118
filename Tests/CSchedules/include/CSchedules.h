// What tests of schedules want of the system and Swift does not offer.
#ifndef FLEXPAGE_CSCHEDULES_H
#define FLEXPAGE_CSCHEDULES_H

#include <sys/types.h>

// fork(2).
pid_t schedules_fork(void);

// A file without a name, or -1: memfd_create(2).
int schedules_nameless_file(void);

// Keeps the calling thread, and those that it starts, to one processor.
void schedules_keep_to(int processor);

#endif
