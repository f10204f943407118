#define _GNU_SOURCE
#include "CSchedules.h"

#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

pid_t schedules_fork(void) { return fork(); }

int schedules_nameless_file(void) { return memfd_create("errors", 0); }

void schedules_keep_to(int processor)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    sched_setaffinity(0, sizeof set, &set);
}
