/* A command that says when things happen to it, in nanoseconds of CLOCK_MONOTONIC.

   probe birth FILE           its first instruction
   probe end SECONDS FILE     the last before it exits, so many seconds later
   probe ticks COUNT MICROS   lines on stdout, each the instant of its writing
   probe term FILE            its first instruction, and when TERM comes */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int file = 1;

static void stamp(void)
{
    struct timespec now;
    char line[32];

    clock_gettime(CLOCK_MONOTONIC, &now);
    int size = snprintf(line, sizeof line, "%lld\n", now.tv_sec * 1000000000LL + now.tv_nsec);
    if (write(file, line, size) != size)
        _exit(1);
}

static void on_term(int number)
{
    (void)number;
    stamp();
    _exit(0);
}

static void pause_for(double seconds)
{
    struct timespec span = {(time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9)};
    nanosleep(&span, NULL);
}

static void open_file(const char *path)
{
    file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (file < 0)
        _exit(1);
}

int main(int count, char **words)
{
    if (count == 3 && !strcmp(words[1], "birth")) {
        open_file(words[2]);
        stamp();
    } else if (count == 4 && !strcmp(words[1], "end")) {
        open_file(words[3]);
        pause_for(atof(words[2]));
        stamp();
    } else if (count == 4 && !strcmp(words[1], "ticks")) {
        for (int left = atoi(words[2]); left > 0; left--) {
            stamp();
            pause_for(atof(words[3]) / 1e6);
        }
    } else if (count == 3 && !strcmp(words[1], "term")) {
        open_file(words[2]);
        stamp();
        signal(SIGTERM, on_term);
        for (;;)
            pause();
    } else {
        return 2;
    }
    _exit(0);
}
