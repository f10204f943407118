#include "LayerCall.h"

#include <errno.h>
#include <pthread.h>

#include "Below.h"
#include "Keeper.h"
#include "Layer.h"

/// nbdkit declares it for plugins only.
extern void nbdkit_set_error(int error);

bool layer_run_elsewhere(void *(*run)(void *argument), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, argument) != 0)
        return false;
    pthread_join(thread, NULL);
    return true;
}

static void *make(void *argument)
{
    struct layer_call *call = argument;
    int error = 0;
    // What an earlier call on this thread has left would count as the error of one that sets none.
    nbdkit_set_error(0);
    layer_lock();
    int result = call->make(call, &error);
    layer_unlock();
    call->error = result == 0 ? 0 : error != 0 ? error : EIO;
    return NULL;
}

/// Whether nbdkit has woken the filters below because this server ends: then they fail whatever they are asked for.
static bool is_end(void) { return filter_below_sleeps() && keeper_is_quitting(); }

int32_t layer_call_do(struct layer_call *call)
{
    make(call);
    const bool may_be_clients = !call->is_flush || filter_below_sleeps();
    if (call->error == ESHUTDOWN && may_be_clients && !keeper_is_quitting())
        layer_run_elsewhere(make, call);
    // A source that shuts down says the same. It goes away, and may come back.
    return call->error == ESHUTDOWN && !is_end() ? EIO : call->error;
}
