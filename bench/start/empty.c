/* empty.c: does nothing; bench/startup.c measures the cost of starting and ending a program with it. */
int main(void) { return 0; }
