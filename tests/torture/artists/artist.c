/* Escape artists that need C: bare system calls, threads, and storms that have to be fast and light.

     artist NAME READY_FILE

   Each writes READY_FILE, and `ready` on stdout, when all that it consists of stands.  Each is bounded by itself: no
   process outlives the deadline, which all generations share, and nothing forks without a count.  77: the system does
   not allow it. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LIFE = 60, STORM_LIFE = 20, NOT_ALLOWED = 77 };

static const char *ready_file;
static struct timespec deadline;

/* What all processes of one artist share. */
static struct shared {
    atomic_int standing; /* processes that are where they belong */
    atomic_int births;
} *shared;

static void live(int seconds) {
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += seconds;
}

static int is_over(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > deadline.tv_sec || (now.tv_sec == deadline.tv_sec && now.tv_nsec >= deadline.tv_nsec);
}

static void rest(void) {
    while (!is_over())
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &deadline, NULL);
    _exit(0);
}

static void nap(long microseconds) {
    struct timespec time = {microseconds / 1000000, microseconds % 1000000 * 1000};
    nanosleep(&time, NULL);
}

static void stand(void) {
    atomic_fetch_add(&shared->standing, 1);
}

static void say_ready(void) {
    close(open(ready_file, O_WRONLY | O_CREAT, 0666));
    if (write(1, "ready\n", 6) < 0)
        return;
}

/* The root of an artist: it says when everybody stands, and then waits to be stopped, as a server would. */
static void lead(int expected) {
    while (atomic_load(&shared->standing) < expected) {
        if (is_over())
            _exit(1);
        nap(500);
    }
    say_ready();
    rest();
}

static void be_stubborn(void) {
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
}

static pid_t fork_or_leave(void) {
    pid_t pid = fork();
    if (pid < 0)
        _exit(1);
    return pid;
}

/* A child in a session of its own that ignores what it is asked. */
static pid_t runaway(void) {
    pid_t pid = fork_or_leave();
    if (pid == 0) {
        setsid();
        be_stubborn();
    }
    return pid;
}

static void stand_and_rest(void) {
    stand();
    rest();
}

/* --- one process that is hard to see, to reach or to wait for */

static void vforked(void) {
    if (runaway() == 0) {
        /* The parent sleeps in the kernel until the child lets its memory go. */
        if (vfork() == 0)
            stand_and_rest();
        _exit(0);
    }
    lead(1);
}

static void *fork_and_rest(void *unused) {
    if (runaway() == 0)
        stand_and_rest();
    rest();
    return unused;
}

static void thread_forks(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, fork_and_rest, NULL))
        _exit(1);
    lead(1);
}

static void cloned(unsigned long flags) {
    long pid = syscall(SYS_clone, flags, 0, 0, 0, 0);
    if (pid < 0)
        _exit(NOT_ALLOWED);
    if (pid == 0) {
        setsid();
        be_stubborn();
        stand_and_rest();
    }
    lead(1);
}

static void *rest_as_thread(void *unused) {
    stand();
    rest();
    return unused;
}

static void leader_thread_gone(void) {
    if (runaway() == 0) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, rest_as_thread, NULL))
            _exit(1);
        syscall(SYS_exit, 0);
    }
    lead(1);
}

static void not_dumpable(void) {
    if (runaway() == 0) {
        prctl(PR_SET_DUMPABLE, 0);
        stand_and_rest();
    }
    lead(1);
}

static void traced(void) {
    if (runaway() == 0) {
        pid_t child = fork_or_leave();
        if (child == 0) {
            ptrace(PTRACE_TRACEME, 0, 0, 0);
            raise(SIGSTOP);
            rest();
        }
        waitpid(child, NULL, WUNTRACED);
        stand_and_rest();
    }
    lead(1);
}

static void exec_loop(char *program, const char *left) {
    /* The same pid and another program every millisecond; `left` counts down through the generations. */
    int count = atoi(left);
    char next[16];
    if (count <= 0)
        _exit(0);
    nap(1000);
    snprintf(next, sizeof next, "%d", count - 1);
    execl(program, program, "exec-loop-next", ready_file, next, (char *)NULL);
    _exit(1);
}

static void exec_loop_start(char *program) {
    if (runaway() == 0) {
        stand();
        exec_loop(program, "15000");
    }
    lead(1);
}

static void root_owned(char *program) {
    /* `program` is set-user-id root: with all three user ids root's, an ordinary user may not signal it any more. */
    if (runaway() == 0) {
        execl(program, program, "root-owned-next", ready_file, (char *)NULL);
        _exit(1);
    }
    rest();
}

static void root_owned_next(void) {
    if (setresgid(getegid(), getegid(), getegid()) || setresuid(geteuid(), geteuid(), geteuid()))
        _exit(NOT_ALLOWED);
    say_ready();
    rest();
}

/* --- namespaces and subreapers of their own */

static void nested_subreaper(void) {
    if (runaway() == 0) {
        pid_t reaper = getpid();
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        for (int i = 0; i < 3; i++)
            if (fork_or_leave() == 0) {
                if (runaway() == 0) {
                    while (getppid() != reaper)
                        nap(500);
                    stand_and_rest();
                }
                _exit(0);
            }
        rest();
    }
    lead(3);
}

static void in_namespaces(int flags) {
    if (runaway() == 0) {
        if (unshare(flags) && unshare(flags | CLONE_NEWUSER)) {
            atomic_store(&shared->births, NOT_ALLOWED);
            stand_and_rest();
        }
        if (fork_or_leave() == 0) {
            for (int i = 0; i < 3; i++)
                if (runaway() == 0)
                    stand_and_rest();
            rest();
        }
        rest();
    }
    while (atomic_load(&shared->births) != NOT_ALLOWED && atomic_load(&shared->standing) < 3)
        nap(500);
    if (atomic_load(&shared->births) == NOT_ALLOWED)
        _exit(NOT_ALLOWED);
    lead(3);
}

/* --- those who are faster than whoever looks for them */

static void chain(long gap, int with_sessions, int generations) {
    live(STORM_LIFE);
    if (fork_or_leave() == 0) {
        be_stubborn();
        for (int i = 0; i < generations && !is_over(); i++) {
            if (with_sessions)
                setsid();
            if (gap)
                nap(gap);
            if (fork_or_leave())
                _exit(0);
            stand();
        }
        _exit(0);
    }
    live(LIFE);
    lead(5);
}

static void watch_each_other(void) {
    /* The older waits for the younger's death, the younger for the end of a pipe that the older alone holds open. */
    for (;;) {
        int ends[2];
        if (atomic_fetch_add(&shared->births, 1) > 3000 || is_over() || pipe2(ends, O_CLOEXEC))
            _exit(0);
        pid_t younger = fork_or_leave();
        if (younger) {
            close(ends[0]);
            stand();
            waitpid(younger, NULL, 0);
            close(ends[1]);
        } else {
            char byte;
            close(ends[1]);
            setsid();
            while (read(ends[0], &byte, 1) < 0)
                ;
            close(ends[0]);
        }
    }
}

static void pair(void) {
    live(STORM_LIFE);
    if (runaway() == 0)
        watch_each_other();
    live(LIFE);
    lead(1);
}

static void bomb(int width, int births) {
    /* Everybody forks until there are so many, and replaces a child that dies as long as the births last. */
    live(STORM_LIFE);
    if (fork_or_leave() == 0) {
        be_stubborn();
        stand();
        for (;;) {
            int number = atomic_fetch_add(&shared->births, 1);
            if (is_over() || number >= births)
                break;
            if (number >= width - 1 && waitpid(-1, NULL, 0) < 0)
                break;
            if (fork_or_leave() == 0) {
                if (number % 3 == 0)
                    setsid();
                stand();
            }
        }
        rest();
    }
    live(LIFE);
    lead(width);
}

static void fork_on_term_handler(int number) {
    /* The copy is in a session of its own, and does the same when it is asked. */
    (void)number;
    if (atomic_fetch_add(&shared->births, 1) < 200 && runaway() == 0) {
        signal(SIGTERM, fork_on_term_handler);
        signal(SIGINT, fork_on_term_handler);
    }
}

static void fork_on_term(void) {
    if (fork_or_leave() == 0) {
        signal(SIGTERM, fork_on_term_handler);
        signal(SIGINT, fork_on_term_handler);
        stand_and_rest();
    }
    lead(1);
}

/* --- many */

static void wide(int count) {
    for (int i = 0; i < count; i++)
        if (fork_or_leave() == 0) {
            be_stubborn();
            if (i % 2)
                setsid();
            stand_and_rest();
        }
    lead(count);
}

static void deep(int count) {
    for (int i = 0; i < count; i++)
        if (runaway()) {
            if (i)
                stand_and_rest();
            lead(count);
        }
    stand_and_rest();
}

static void orphans(int count) {
    for (int i = 0; i < count; i++) {
        pid_t middle = fork_or_leave();
        if (middle == 0) {
            if (runaway() == 0)
                stand_and_rest();
            _exit(0);
        }
        waitpid(middle, NULL, 0);
    }
    lead(count);
}

static void zombies(int count) {
    if (runaway() == 0) {
        for (int i = 0; i < count; i++)
            if (fork_or_leave() == 0)
                _exit(0);
        stand_and_rest();
    }
    lead(1);
}

int main(int argc, char **argv) {
    if (argc < 3)
        return 2;
    const char *name = argv[1];
    ready_file = argv[2];
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    live(LIFE);
    if (!strcmp(name, "vfork")) vforked();
    if (!strcmp(name, "thread-forks")) thread_forks();
    if (!strcmp(name, "clone-parent")) cloned(CLONE_PARENT | SIGCHLD);
    if (!strcmp(name, "clone-without-sigchld")) cloned(0);
    if (!strcmp(name, "leader-thread-gone")) leader_thread_gone();
    if (!strcmp(name, "non-dumpable")) not_dumpable();
    if (!strcmp(name, "traced")) traced();
    if (!strcmp(name, "exec-loop")) exec_loop_start(argv[0]);
    if (!strcmp(name, "exec-loop-next") && argc > 3) exec_loop(argv[0], argv[3]);
    if (!strcmp(name, "root-owned") && argc > 3) root_owned(argv[3]);
    if (!strcmp(name, "root-owned-next")) root_owned_next();
    if (!strcmp(name, "nested-subreaper")) nested_subreaper();
    if (!strcmp(name, "pid-namespace")) in_namespaces(CLONE_NEWPID);
    if (!strcmp(name, "user-namespace")) in_namespaces(CLONE_NEWUSER);
    if (!strcmp(name, "chain-50ms")) chain(50000, 0, 1000);
    if (!strcmp(name, "chain-1ms")) chain(1000, 0, 20000);
    if (!strcmp(name, "chain-0ms")) chain(0, 0, 100000);
    if (!strcmp(name, "chain-50ms-setsid")) chain(50000, 1, 1000);
    if (!strcmp(name, "chain-1ms-setsid")) chain(1000, 1, 20000);
    if (!strcmp(name, "chain-0ms-setsid")) chain(0, 1, 100000);
    if (!strcmp(name, "pair")) pair();
    if (!strcmp(name, "bomb-300")) bomb(300, 1000);
    if (!strcmp(name, "fork-on-term")) fork_on_term();
    if (!strcmp(name, "wide-1000")) wide(1000);
    if (!strcmp(name, "deep-100")) deep(100);
    if (!strcmp(name, "orphans-1000")) orphans(1000);
    if (!strcmp(name, "zombies")) zombies(50);
    return 2;
}
