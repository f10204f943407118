// The address of the client whose connection the calling thread serves, for the log.

#ifndef FLEXPAGE_PEER_H
#define FLEXPAGE_PEER_H

/// The maximum size of a name, including its terminator.
enum { peer_size = 128 };

/// Writes the client's name: `192.0.2.7 port 40312`, or `process 4711 of user 1000` on a Unix socket.
void peer_name(char name[peer_size]);

#endif
