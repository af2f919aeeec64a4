/* A program of Linux without a C library, for machines whose library is not installed. */
#include "bare.h"

void _start(void);

static long call(long number, long a, long b, long c)
{
#ifdef __arm__
    register long n __asm__("r7") = number;
    register long r0 __asm__("r0") = a;
    register long r1 __asm__("r1") = b;
    register long r2 __asm__("r2") = c;
    __asm__ volatile("svc 0" : "+r"(r0) : "r"(n), "r"(r1), "r"(r2) : "memory");
#else
    register long n __asm__("a7") = number;
    register long r0 __asm__("a0") = a;
    register long r1 __asm__("a1") = b;
    register long r2 __asm__("a2") = c;
    __asm__ volatile("ecall" : "+r"(r0) : "r"(n), "r"(r1), "r"(r2) : "memory");
#endif
    return r0;
}

#ifdef __arm__
enum { WRITE = 4, EXIT = 1 };
#else
enum { WRITE = 64, EXIT = 93 };
#endif

static unsigned stack(void)
{
    return 0;
}

void _start(void)
{
    char text[32];
    unsigned length = result(text, stack);
    call(WRITE, 1, (long)text, (long)length);
    for (;;) call(EXIT, 0, 0, 0);
}
