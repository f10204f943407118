// Linux calls and constants that Swift cannot see.
#ifndef FLEXPAGE_CLINUX_H
#define FLEXPAGE_CLINUX_H
#endif
