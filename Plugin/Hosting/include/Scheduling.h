// scheduling=auto: the server's threads are SCHED_BATCH while it and its clients have the processors to themselves.
//
// **What it gains.** With many requests under way, a thread that wakes up often preempts one that holds a lock of
// nbdkit's or is about to answer. Threads of SCHED_BATCH preempt nobody, so there are fewer context switches.
// **What it would cost.** If other programs keep all processors busy, a thread that preempts nobody waits for the end
// of a time slice each time it wakes up: milliseconds, several times a request. So a thread watches for that:
//
//     scheduling_prepare ── another policy, a refusal ──▶ off: nothing is changed, the debug log says why
//             │
//     scheduling_begin ──▶ idle: normal ◀── works, hardly works any more ──▶ what the judge says: batch or normal
//                            └──── scheduling_end ──▶ the thread is gone ◀────────────┘    (SchedulingJudge)
//
// **The watcher** takes a sample of an eighth of a second: getrusage(2) has the context switches of the process, and
// /proc/self/task/*/schedstat how long each thread ran and waited. That takes a few microseconds a thread. An idle
// server is not woken: the watcher then sleeps until the process has used some processor time. The kernel notices that
// late if programs keep the processors busy, which is why the policy is normal until then.
//
// **Only the default policy is changed.** If the server was started with another one (chrt, CPUSchedulingPolicy=), that
// is left. So is a thread that has any other one than these two; one that made itself SCHED_BATCH cannot be told apart.
// Threads made later inherit the policy of their maker, and so do programs that a plugin below the filter starts: they
// keep it. nice, priorities and cpusets are not touched. It takes no privilege.
//
// **Sandboxes.** A filter of system calls may kill a process for sched_setscheduler(2), or the system may refuse it. So
// a child tries it first. If it does not succeed, the server serves with the default policy.
//
// Nothing is changed before nbdkit has forked. So --run's command inherits nothing.

#ifndef FLEXPAGE_SCHEDULING_H
#define FLEXPAGE_SCHEDULING_H

#include "Interface.h"

/// Finds out whether the threads may be SCHED_BATCH, if scheduling=auto. Called after the fork and before the memory is
/// allocated, because it may create a child.
void scheduling_prepare(flexpage_server *server);

/// Begins to watch, if scheduling_prepare has found nothing against it.
void scheduling_begin(flexpage_server *server);

/// Ends the thread. Does nothing if there is none.
void scheduling_end(void);

#endif
