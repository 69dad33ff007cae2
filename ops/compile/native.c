/* native.c: runs the system's C compiler and loads what it made.

   A compiled program is kept in a folder of the user's, under a name that stands for the source, the compiler, its
   flags and the processor. Only files that the user owns, in a folder that nobody else can write to, are loaded.

   Each attempt has a folder of its own in it, tmp-XXXXXX, with a lock (flock) that ends with the process. So a folder
   that can be locked was left by a process that was killed, and the next attempt removes it. */
#define _XOPEN_SOURCE 700

#include "ops/compile/native.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__unix__) || defined(__APPLE__)
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

extern char **environ;

enum { PATH_SIZE = 4096, MOST_ARGUMENTS = 64, FLAGS_SIZE = 1024 };

typedef struct {
    ad_compile_opts o;
    const char *source;
    char words[FLAGS_SIZE];                           /* the compiler's command; cut into words at its blanks */
    const char *more;                                 /* its words after the first */
    char cc[PATH_SIZE];                               /* the compiler's file */
    char folder[PATH_SIZE], so[PATH_SIZE + 64];       /* of the cache; the program as it is loaded */
    char attempt[PATH_SIZE + 32];                     /* a folder in it */
    int lock;                                         /* the folder's descriptor, which holds its lock; -1: none */
    char c[PATH_SIZE + 64], made[PATH_SIZE + 64];     /* the source in it; the program, before it is renamed to so */
    bool temporary;                                   /* the cache's folder is removed afterwards */
    char *reason;
    size_t size;
} build;

static const char *const flags[] = { "-std=gnu11", "-O2", "-w", "-fPIC", "-shared", "-fno-math-errno",
                                     "-fno-trapping-math", "-ffp-contract=off", "-ftree-vectorize" };
/* Given to gcc only: other compilers do not know them. The bits of numbers that are known change nothing here, and
   looking for them takes a tenth of gcc's time. */
static const char *const gcc_flags[] = { "-march=native", "-mprefer-vector-width=512", "-fvect-cost-model=dynamic",
                                         "-funswitch-loops", "-fno-tree-bit-ccp" };

static bool fail(build *b, const char *format, const char *a, const char *c) {
    snprintf(b->reason, b->size, format, a, c);
    return false;
}

/* ---- the compiler ------------------------------------------------------------------------------------------------ */

/* Finds a command along PATH, so that its file is part of the name in the cache. */
static bool find_compiler(build *b) {
    const char *name = b->o.cc ? b->o.cc : getenv("CC"), *path = getenv("PATH");
    if (name == NULL || *name == '\0') name = "cc";
    if (strlen(name) >= sizeof b->words) return fail(b, "the compiler's name is too long%s%s", "", "");
    strcpy(b->words, name);
    name = b->words, b->more = "";
    char *blank = strchr(b->words, ' ');
    if (blank) *blank = '\0', b->more = blank + 1;
    if (strchr(name, '/')) {
        snprintf(b->cc, sizeof b->cc, "%s", name);
        return access(b->cc, X_OK) == 0 || fail(b, "no compiler %s%s", name, "");
    }
    for (const char *p = path; p && *p; p = strchr(p, ':') ? strchr(p, ':') + 1 : NULL) {
        int n = (int)strcspn(p, ":");
        if (n == 0 || n > 2048 || *p != '/') continue;
        snprintf(b->cc, sizeof b->cc, "%.*s/%s", n, p, name);
        if (access(b->cc, X_OK) == 0) return true;
    }
    return fail(b, "no compiler %s was found%s", name, "");
}

static bool write_source(build *b) {
    int fd = open(b->c, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    size_t n = strlen(b->source), at = 0;
    if (fd < 0) return fail(b, "cannot write %s: %s", b->c, strerror(errno));
    while (at < n) {
        ssize_t k = write(fd, b->source + at, n - at);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) break;
        at += (size_t)k;
    }
    bool whole = at == n;
    if (close(fd) != 0 || !whole) return fail(b, "cannot write %s: %s", b->c, strerror(errno));
    return true;
}

/* The first words of what the compiler printed. */
static void read_messages(int fd, char *to, size_t size) {
    size_t n = 0;
    char rest[512];
    for (;;) {
        bool full = n + 1 >= size;
        ssize_t k = read(fd, full ? rest : to + n, full ? sizeof rest : size - 1 - n);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) break;
        if (!full) n += (size_t)k;
    }
    to[n] = '\0';
    for (char *p = to; *p; p++)
        if (*p == '\n') *p = ' ';
}

static bool spawn(build *b, char *argv[], char *messages, size_t size) {
    int ends[2], status = 0;
    posix_spawn_file_actions_t actions;
    pid_t pid;
    if (pipe(ends) != 0) return fail(b, "no pipe for the compiler: %s%s", strerror(errno), "");
    for (int i = 0; i < 2; i++) fcntl(ends[i], F_SETFD, FD_CLOEXEC); /* no other child keeps them open */
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    int rc = posix_spawn(&pid, b->cc, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (rc == 0) read_messages(ends[0], messages, size);
    close(ends[0]);
    if (rc != 0) return fail(b, "cannot run %s: %s", b->cc, strerror(rc));
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return fail(b, "%s was lost: %s", b->cc, strerror(errno));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool is_gcc(const build *b) {
    const char *name = strrchr(b->cc, '/') + 1;
    return strstr(name, "tcc") == NULL && strstr(name, "clang") == NULL;
}

static bool run_compiler(build *b) {
    char *argv[MOST_ARGUMENTS], given[2 * FLAGS_SIZE], messages[300] = "";
    int n = 0;
    if (b->o.flags && strlen(b->o.flags) >= FLAGS_SIZE) return fail(b, "the flags are too long%s%s", "", "");
    snprintf(given, sizeof given, "%s %s", b->more, b->o.flags ? b->o.flags : "");
    argv[n++] = b->cc;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) argv[n++] = (char *)flags[i];
    for (size_t i = 0; is_gcc(b) && i < sizeof gcc_flags / sizeof *gcc_flags; i++) argv[n++] = (char *)gcc_flags[i];
    char *rest, *p = strtok_r(given, " ", &rest);
    for (; p && n < MOST_ARGUMENTS - 5; p = strtok_r(NULL, " ", &rest)) argv[n++] = p;
    argv[n++] = (char *)"-o";
    argv[n++] = b->made;
    argv[n++] = b->c;
    argv[n++] = (char *)"-lm";
    argv[n] = NULL;
    bool done = spawn(b, argv, messages, sizeof messages);
    if (!done && *messages) fail(b, "%s failed: %s", b->cc, messages);
    else if (!done && *b->reason == '\0') fail(b, "%s failed%s", b->cc, "");
    return done;
}

/* ---- the name of a program --------------------------------------------------------------------------------------- */

/* FNV-1a, twice, for 128 bits. */
typedef struct {
    uint64_t a, b;
} hash;

static void add(hash *h, const void *data, size_t n) {
    const unsigned char *p = data;
    for (size_t i = 0; i < n; i++) {
        h->a = (h->a ^ p[i]) * 0x100000001b3u;
        h->b = (h->b ^ (p[i] + 0x9eu)) * 0x100000001b3u;
        h->b ^= h->b >> 29;
    }
}

static void add_text(hash *h, const char *s) { add(h, s, strlen(s) + 1); }

/* The processor's features, as the code is made for this processor. */
static void add_processor(hash *h) {
#if defined(__x86_64__) || defined(__i386__)
    enum { LEAVES = 8, FEATURES = 1 };
    struct {
        unsigned a, b, c, d;
    } r;
    for (unsigned leaf = 0; leaf < LEAVES; leaf++) {
        if (!__get_cpuid_count(leaf, 0, &r.a, &r.b, &r.c, &r.d)) continue;
        if (leaf == FEATURES) r.b = 0; /* which core the process happens to run on */
        add(h, &r, sizeof r);
    }
#else
    (void)h;
#endif
}

static void name_program(build *b) {
    hash h = { 0xcbf29ce484222325u, 0x84222325cbf29ce4u };
    struct stat s;
    memset(&s, 0, sizeof s);
    if (stat(b->cc, &s) == 0) {
        int64_t version[] = { (int64_t)s.st_size, (int64_t)s.st_mtime, (int64_t)s.st_ino };
        add(&h, version, sizeof version);
    }
    add_text(&h, b->source);
    add_text(&h, b->cc);
    add_text(&h, b->more);
    add_text(&h, b->o.flags ? b->o.flags : "");
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) add_text(&h, flags[i]);
    add_processor(&h);
    snprintf(b->so, sizeof b->so, "%s/%016llx%016llx.so", b->folder, (unsigned long long)h.a, (unsigned long long)h.b);
}

/* ---- the cache --------------------------------------------------------------------------------------------------- */

/* Whether a path is ours alone to write to. */
static bool is_ours(const char *path, bool folder) {
    struct stat s;
    return lstat(path, &s) == 0 && (folder ? S_ISDIR(s.st_mode) : S_ISREG(s.st_mode)) && s.st_uid == geteuid() &&
           (s.st_mode & 022) == 0;
}

static bool cache_folder(build *b) {
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (b->o.no_cache) return false;
    if (b->o.cache) snprintf(b->folder, sizeof b->folder, "%s", b->o.cache);
    else if (base && *base == '/') snprintf(b->folder, sizeof b->folder, "%s/autodiff", base);
    else if (home && *home == '/') {
        snprintf(b->folder, sizeof b->folder, "%s/.cache", home);
        mkdir(b->folder, 0700);
        snprintf(b->folder, sizeof b->folder, "%s/.cache/autodiff", home);
    } else return false;
    mkdir(b->folder, 0700);
    return is_ours(b->folder, true);
}

static bool temporary_folder(build *b) {
    const char *tmp = getenv("TMPDIR");
    snprintf(b->folder, sizeof b->folder, "%s/autodiff-XXXXXX", tmp && *tmp == '/' ? tmp : "/tmp");
    b->temporary = true;
    return mkdtemp(b->folder) != NULL || fail(b, "no temporary folder %s: %s", b->folder, strerror(errno));
}

static void clean_up(build *b) {
    if (*b->attempt) unlink(b->c), unlink(b->made), rmdir(b->attempt);
    if (b->lock >= 0) close(b->lock);
    if (!b->temporary) return;
    unlink(b->so);
    rmdir(b->folder);
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

static ad__native *load(build *b, void **handle) {
    *handle = dlopen(b->so, RTLD_NOW | RTLD_LOCAL);
    ad__native *run = NULL;
    if (*handle == NULL) {
        fail(b, "cannot load: %s%s", dlerror(), "");
        return NULL;
    }
    void *symbol = dlsym(*handle, "ad_program_run");
    memcpy(&run, &symbol, sizeof run);
    if (run == NULL) fail(b, "%s has no ad_program_run%s", b->so, "");
    return run;
}

static const char ATTEMPT[] = "tmp-XXXXXX", SOURCE[] = "p.c", MADE[] = "p.so";

static void remove_dead_attempt(int cache, const char *name) {
    int fd = openat(cache, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        unlinkat(fd, SOURCE, 0);
        unlinkat(fd, MADE, 0);
        unlinkat(cache, name, AT_REMOVEDIR);
    }
    close(fd);
}

static void remove_dead_attempts(const char *cache) {
    DIR *all = opendir(cache);
    if (all == NULL) return;
    for (const struct dirent *e; (e = readdir(all)) != NULL;)
        if (strncmp(e->d_name, ATTEMPT, 4) == 0 && strlen(e->d_name) == sizeof ATTEMPT - 1)
            remove_dead_attempt(dirfd(all), e->d_name);
    closedir(all);
}

/* Makes the attempt's folder and takes its lock; false, with errno, after a fault. Another process may take the folder
   for a dead one's before it is locked. */
static bool make_attempt(build *b) {
    enum { TRIES = 100 };
    struct stat s;
    for (int i = 0; i < TRIES; i++) {
        snprintf(b->attempt, sizeof b->attempt, "%s/%s", b->folder, ATTEMPT);
        if (mkdtemp(b->attempt) == NULL) return *b->attempt = '\0', false;
        b->lock = open(b->attempt, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (b->lock < 0 && errno != ENOENT) return false;
        if (b->lock >= 0) flock(b->lock, LOCK_EX);
        if (b->lock >= 0 && lstat(b->attempt, &s) == 0) return true;
        if (b->lock >= 0) close(b->lock), b->lock = -1;
    }
    return errno = EEXIST, false;
}

/* A folder of its own for each attempt, so that two processes or threads do not meet. */
static bool begin_attempt(build *b) {
    remove_dead_attempts(b->folder);
    if (!make_attempt(b)) return fail(b, "cannot write in %s: %s", b->folder, strerror(errno));
    snprintf(b->c, sizeof b->c, "%s/%s", b->attempt, SOURCE);
    snprintf(b->made, sizeof b->made, "%s/%s", b->attempt, MADE);
    return true;
}

/* On disk before it has its name: a power cut leaves no part of a program to be loaded. */
static bool keep(build *b) {
    int fd = open(b->made, O_RDONLY | O_CLOEXEC);
    bool done = fd >= 0 && fsync(fd) == 0 && rename(b->made, b->so) == 0;
    if (!done) fail(b, "cannot write %s: %s", b->so, strerror(errno));
    if (fd >= 0) close(fd);
    return done;
}

static bool compile(build *b) { return begin_attempt(b) && write_source(b) && run_compiler(b) && keep(b); }

ad__native *ad__native_load(const char *source, ad_compile_opts o, void **handle, char *reason, size_t size) {
    build b = { .o = o, .source = source, .reason = reason, .size = size, .lock = -1 };
    *handle = NULL, *reason = '\0';
    if (geteuid() != getuid() || getegid() != getgid()) {
        fail(&b, "the process runs with another user's rights%s%s", "", "");
        return NULL;
    }
    if (!find_compiler(&b) || (!cache_folder(&b) && !temporary_folder(&b))) return NULL;
    name_program(&b);
    bool cached = !b.temporary && access(b.so, F_OK) == 0 && is_ours(b.so, false);
    ad__native *run = cached ? load(&b, handle) : NULL;
    if (run == NULL && compile(&b)) run = load(&b, handle);
    clean_up(&b);
    if (run == NULL) ad__native_close(*handle), *handle = NULL;
    return run;
}

void ad__native_close(void *handle) {
    if (handle) dlclose(handle);
}

#else
ad__native *ad__native_load(const char *source, ad_compile_opts o, void **handle, char *reason, size_t size) {
    (void)source, (void)o;
    *handle = NULL;
    snprintf(reason, size, "this system has no dlopen");
    return NULL;
}

void ad__native_close(void *handle) { (void)handle; }
#endif
