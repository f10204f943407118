// What the server asks of the kernel for its threads, before nbdkit gives up its privileges. Threads made later inherit
// it, and so would the command of --run: there it is given back (Fork.h).

#ifndef FLEXPAGE_PRIVILEGES_H
#define FLEXPAGE_PRIVILEGES_H

/// Tells the kernel that this process is part of how dirty pages get written, when an export is mounted on the same
/// machine: memory it asks for is then never sought by writing to that export. It needs CAP_SYS_RESOURCE; without it
/// all works but for that case, so it is no error.
void become_io_flusher(void);

/// scheduling=batch: a thread that has been answered by the disk or the client waits for its turn, rather than to push
/// another one of the server, or the client, off its processor. Takes no privilege. Returns 0, or -1 and logs why.
int become_batch(void);

/// Makes the calling thread what it was.
void privileges_give_back(void);

#endif
