#ifndef C_REFERENCES_H
#define C_REFERENCES_H

/* The number of this thread's retains and releases so far. */
unsigned long references_of_this_thread(void);

/* Whether this build counts them. With a sanitizer, the runtime's functions are not replaced. */
int references_are_counted(void);

#endif
