/* Counts each thread's retains and releases, by replacing functions of Swift's runtime in the test's executable.

   The runtime has hooks for this purpose (such as _swift_retain, with a flag that enables them). But with the flag set,
   the runtime of Swift 6.3.1 for x86_64 crashes on any small string: before it calls the hook, it clears the bits that
   say that there is nothing to retain. Calls inside the runtime are not seen here, so the outer functions that the
   program calls are counted instead. */

#define _GNU_SOURCE
#include "CReferences.h"

#include <dlfcn.h>
#include <stdint.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

static __thread unsigned long count;

unsigned long references_of_this_thread(void) { return count; }

#if defined(SANITIZED) || !defined(__ELF__)

int references_are_counted(void) { return 0; }

#else

int references_are_counted(void) { return 1; }

/* Defines the runtime's function `name` as one that counts and then calls the original. Two threads may look up the
   original at once; they find the same. */
#define STAND_IN(result, name, parameters, arguments)                       \
    result name parameters;                                                 \
    result name parameters                                                  \
    {                                                                       \
        static result(*own) parameters;                                     \
        result(*call) parameters = __atomic_load_n(&own, __ATOMIC_RELAXED); \
        if (call == 0) {                                                    \
            call = (result(*) parameters)dlsym(RTLD_NEXT, #name);           \
            __atomic_store_n(&own, call, __ATOMIC_RELAXED);                 \
        }                                                                   \
        count++;                                                            \
        return call arguments;                                              \
    }

STAND_IN(void *, swift_retain, (void *object), (object))
STAND_IN(void *, swift_retain_n, (void *object, uint32_t times), (object, times))
STAND_IN(void *, swift_tryRetain, (void *object), (object))
STAND_IN(void, swift_release, (void *object), (object))
STAND_IN(void, swift_release_n, (void *object, uint32_t times), (object, times))
STAND_IN(void *, swift_bridgeObjectRetain, (void *object), (object))
STAND_IN(void *, swift_bridgeObjectRetain_n, (void *object, uint32_t times), (object, times))
STAND_IN(void, swift_bridgeObjectRelease, (void *object), (object))
STAND_IN(void, swift_bridgeObjectRelease_n, (void *object, uint32_t times), (object, times))
STAND_IN(void *, swift_errorRetain, (void *error), (error))
STAND_IN(void, swift_errorRelease, (void *error), (error))
STAND_IN(void *, swift_unownedRetain, (void *object), (object))
STAND_IN(void, swift_unownedRelease, (void *object), (object))
STAND_IN(void *, swift_unownedRetainStrong, (void *object), (object))
STAND_IN(void, swift_unownedRetainStrongAndRelease, (void *object), (object))
STAND_IN(void *, swift_weakLoadStrong, (void *reference), (reference))
STAND_IN(void *, swift_weakTakeStrong, (void *reference), (reference))

#endif
