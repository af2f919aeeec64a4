/* A Cortex-M without a system: vectors, the floating point unit switched on, output through the emulator. */
#include <stdint.h>
#include "bare.h"

extern unsigned char stack_top[];
void begin(void);

static int host(int operation, const void *argument)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void fault(void)
{
    host(4, "fault\n");
    for (;;) host(0x18, (const void *)0x20026);
}

typedef union { void *stack; void (*handler)(void); } vector;

__attribute__((section(".vectors"), used)) static const vector vectors[16] = {
    {.stack = stack_top}, {.handler = begin}, {.handler = fault}, {.handler = fault},
    {.handler = fault},   {.handler = fault}, {.handler = fault}, {.handler = fault},
};

void begin(void)
{
    char text[32];
    *(volatile uint32_t *)0xe000ed88u |= 0xfu << 20; /* CPACR: full access to the floating point unit */
    __asm__ volatile("dsb\n isb" ::: "memory");
    result(text);
    host(4, text);
    host(0x18, (const void *)0x20026);
    for (;;) {}
}
