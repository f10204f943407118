// The life of the plugin: the callbacks on nbdkit's main thread.

#include <stdio.h>
#include <stdlib.h>

#include "Callbacks.h"
#include "Lifetime.h"
#include "OffMainCall.h"

void flexpage_load(void) { lifetime_load(NULL); }

void flexpage_unload(void) { lifetime_unload(); }

int flexpage_config(const char *key, const char *value) { return lifetime_config(key, value); }

int flexpage_config_complete(void) { return lifetime_config_complete(); }

int flexpage_get_ready(void) { return lifetime_get_ready(); }

int flexpage_after_fork(void) { return lifetime_after_fork(); }

void flexpage_cleanup(void) { lifetime_cleanup(); }

static void run_dump_plugin(struct off_main_call *call)
{
    call->text = flexpage_plugin_dump();
    call->succeeded = call->text != NULL;
}

void flexpage_dump_plugin(void)
{
    struct off_main_call call = {.run = run_dump_plugin};
    if (off_main_call_do(&call) == -1)
        return;
    printf("%s\n", call.text);
    free(call.text);
}
