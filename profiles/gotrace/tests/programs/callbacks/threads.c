// Calls Go from C.

#include <pthread.h>
#include <stdint.h>
#include <unistd.h>

extern void called(int microseconds);

static void *call_some(void *calls) {
    for (intptr_t i = 0; i < (intptr_t)calls; i++) {
        called(200);
        usleep(100);
    }
    return NULL;
}

// Starts threads one after the other, each of which calls Go some times and ends.
void call_from_threads(int threads, int calls) {
    for (int i = 0; i < threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, call_some, (void *)(intptr_t)calls) != 0) {
            return;
        }
        pthread_join(thread, NULL);
    }
}

// Calls Go on the thread that called C, and stays in C long enough to lose the proc.
void call_and_sleep(int microseconds) {
    called(0);
    usleep(microseconds);
}
