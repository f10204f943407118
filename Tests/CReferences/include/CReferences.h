#ifndef C_REFERENCES_H
#define C_REFERENCES_H

/* How often this thread has retained or released an object so far. */
unsigned long references_of_this_thread(void);

/* Whether that is counted in this build: under a sanitizer nothing stands in for the runtime. */
int references_are_counted(void);

#endif
