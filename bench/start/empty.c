/* empty.c: what it costs to start and end any program. */
int main(void) { return 0; }
