// What the plugin asks of the kernel for its threads, before nbdkit gives up its privileges. Threads created later
// inherit it. So would --run's command, and therefore the parent undoes it (Fork.h).

#ifndef FLEXPAGE_PRIVILEGES_H
#define FLEXPAGE_PRIVILEGES_H

/// Tells the kernel that dirty pages are written through this process if the export is mounted on the same machine.
/// When the process needs memory, the kernel then never tries to free some by writing to the export. This takes
/// CAP_SYS_RESOURCE. It is not an error if it is missing, because only that use of the export depends on it.
void become_io_flusher(void);

/// scheduling=batch: a thread that is woken by the disk or a client waits for its turn. It preempts neither another
/// thread of the server nor the client. Takes no privilege. Returns 0, or -1 after it has logged why.
int become_batch(void);

/// Restores the calling thread's previous state.
void privileges_give_back(void);

#endif
