#ifndef C_ALLOCATIONS_H
#define C_ALLOCATIONS_H

/* The number of this thread's calls of malloc and similar functions so far. */
unsigned long allocations_of_this_thread(void);

/* Whether this build counts them. With a sanitizer, which has its own malloc, it does not. */
int allocations_are_counted(void);

#endif
