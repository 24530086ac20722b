/*
 * The native start of supervise.  It executes the script beside it with the interpreter that the first line of the
 * script names, in isolated mode (-I) and without the module `site` (-S).
 *
 * pip writes that first line, and leaves out every option there.  So the script alone cannot be isolated: PYTHONHOME or
 * PYTHONHASHSEED, which are meant for the command, can end the interpreter before the first line of supervise.  And
 * `site` takes a tenth of the time of a start.  A shell in between would drop each variable whose name is no name of the
 * shell.  Where nothing could compile this file, the script is the program itself.
 *
 * The file is linked with no C library, whose start takes longer than all of this: a static file works in each
 * distribution.  Sources: execve(2), proc(5), getauxval(3), syscall(2).
 */

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>

#define EXIT_ERROR 125 /* as in supervise/core/exit_codes.py */
#define PATH_BYTES 4096 /* PATH_MAX of Linux */
#define SCRIPT_NAME "supervise-python"

#if defined(__x86_64__)
/* The kernel leaves the arguments at the top of the stack, whose alignment the ABI of C functions prescribes. */
__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start\n");

static long system_call(long number, long a, long b, long c, long d)
{
    long result;
    register long fourth __asm__("r10") = d;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth)
                     : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n\tmov x0, sp\n\tbl start\n");

static long system_call(long number, long a, long b, long c, long d)
{
    register long eighth __asm__("x8") = number;
    register long first __asm__("x0") = a;
    register long second __asm__("x1") = b;
    register long third __asm__("x2") = c;
    register long fourth __asm__("x3") = d;
    __asm__ volatile("svc 0"
                     : "+r"(first)
                     : "r"(eighth), "r"(second), "r"(third), "r"(fourth)
                     : "memory");
    return first;
}
#else
#error "for this processor the script is the program"
#endif

struct auxiliary {
    unsigned long type;
    unsigned long value;
};

static long length_of(const char *text)
{
    long length = 0;
    while (text[length])
        length++;
    return length;
}

static void say(const char *text)
{
    system_call(__NR_write, 2, (long)text, length_of(text), 0);
}

static const char *text_of(long error)
{
    switch (-error) {
    case ENOENT: return "no such file or directory";
    case EACCES: return "permission denied";
    case ENAMETOOLONG: return "the path is too long";
    case E2BIG: return "the arguments and the environment are too long";
    case ENOMEM: return "out of memory";
    default: return "the system refuses it";
    }
}

static __attribute__((noreturn)) void end_with(const char *what, const char *path, long error)
{
    say("supervise: cannot ");
    say(what);
    say(" ");
    say(path);
    say(": ");
    say(text_of(error));
    say("\n");
    for (;;)
        system_call(__NR_exit_group, EXIT_ERROR, 0, 0, 0);
}

/*
 * Replace the last part of the path, which has `length` bytes, by the name of the script, and open the script.  Return
 * its descriptor, or a negative error number.
 */
static long open_beside(char *path, long length)
{
    static const char name[] = SCRIPT_NAME;
    while (length > 0 && path[length - 1] != '/')
        length--;
    if (length + (long)sizeof name > PATH_BYTES) {
        path[0] = 0;
        return -ENAMETOOLONG;
    }
    for (long i = 0; i < (long)sizeof name; i++)
        path[length + i] = name[i];
    return system_call(__NR_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0);
}

/*
 * Return the interpreter of a script that begins with these bytes; a null pointer where it is not one absolute path, or
 * is a shell: an installer writes lines for the shell where the path is too long for the kernel or has a space.
 */
static const char *interpreter_of(char *first, long length)
{
    long end = 2;
    if (length < 3 || first[0] != '#' || first[1] != '!' || first[2] != '/')
        return 0;
    while (end < length && first[end] != '\n')
        end++;
    if (end == length)
        return 0;
    first[end] = 0;
    if (first[end - 1] == 'h' && first[end - 2] == 's' && first[end - 3] == '/')
        return 0;
    return first + 2;
}

/* Become the interpreter.  `stack` is what execve(2) leaves: the count, the words, the environment, the auxiliary vector. */
__attribute__((noreturn, used)) void start(long *stack)
{
    long count = stack[0];
    char **words = (char **)(stack + 1);
    char **environment = words + count + 1;
    char **end = environment;
    const char *called = "supervise";
    char script[PATH_BYTES], first[PATH_BYTES];

    while (*end)
        end++;
    for (struct auxiliary *one = (struct auxiliary *)(end + 1); one->type != AT_NULL; one++)
        if (one->type == AT_EXECFN)
            called = (const char *)one->value;

    /* The file itself, not a link to it; without /proc, the path by which it was called. */
    long length = system_call(__NR_readlinkat, AT_FDCWD, (long)"/proc/self/exe", (long)script, PATH_BYTES);
    long file = length < 0 ? length : open_beside(script, length);
    if (file < 0) {
        for (length = 0; called[length] && length < PATH_BYTES; length++)
            script[length] = called[length];
        file = open_beside(script, length);
    }
    if (file < 0)
        end_with("open", script, file);
    length = system_call(__NR_read, file, (long)first, PATH_BYTES, 0);
    system_call(__NR_close, file, 0, 0, 0);

    const char *interpreter = interpreter_of(first, length);
    if (!interpreter)
        end_with("execute", script, system_call(__NR_execve, (long)script, (long)words, (long)environment, 0));
    /* The script takes the path by which supervise was called out of its arguments. */
    const char *next[count + 5];
    long filled = 0;
    next[filled++] = interpreter;
    next[filled++] = "-IS";
    next[filled++] = script;
    next[filled++] = called;
    for (long i = 1; i < count; i++)
        next[filled++] = words[i];
    next[filled] = 0;
    length = system_call(__NR_execve, (long)interpreter, (long)next, (long)environment, 0);
    /* The kernel may read the line in another way. */
    system_call(__NR_execve, (long)script, (long)words, (long)environment, 0);
    end_with("execute", interpreter, length);
}
