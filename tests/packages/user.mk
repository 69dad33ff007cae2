# user.mk: a Makefile of a user, without pkg-config.
AUTODIFF = $(PREFIX)

$(OUT): tests/packages/program.c
	$(CC) -std=c11 -I$(AUTODIFF)/include/autodiff-0 $< -o $@ -L$(AUTODIFF)/lib -Wl,-rpath,$(AUTODIFF)/lib -lautodiff
