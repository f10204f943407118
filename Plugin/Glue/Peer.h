// The client of the calling thread's connection, for the log.

#ifndef FLEXPAGE_PEER_H
#define FLEXPAGE_PEER_H

/// Bytes of a name at the most, with its end.
enum { peer_size = 128 };

/// Writes who it is: `192.0.2.7 port 40312`, or on a Unix socket `of process 4711, user 1000`.
void peer_name(char name[peer_size]);

#endif
