/* cortex-m.c: what a Cortex-M needs before main: the vector table, and the switch of its floating point unit. */
extern void _start(void); /* of newlib */
extern char __stack;

void reset(void) {
    *(volatile unsigned *)0xe000ed88 |= 0xf << 20; /* CPACR: coprocessors 10 and 11, if the processor has them */
    __asm volatile("dsb\nisb");
    _start();
}

static void fault(void) {
    for (;;) __asm volatile("bkpt 0xab"); /* ends an emulator */
}

__attribute__((section(".vectors"), used)) static void *const vectors[16] = {
    &__stack, (void *)reset, (void *)fault, (void *)fault,
};
