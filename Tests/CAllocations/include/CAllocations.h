#ifndef C_ALLOCATIONS_H
#define C_ALLOCATIONS_H

/* How often this thread has asked malloc and its kin for memory so far. */
unsigned long allocations_of_this_thread(void);

/* Whether that is counted in this build: a sanitizer has a malloc of its own. */
int allocations_are_counted(void);

#endif
