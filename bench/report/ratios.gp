# ratios.gp: plots ratios.tsv to ratios.svg: our time divided by the time of the floor and of each peer.
set terminal svg size 900,560 font "sans-serif,14" background "white"
set output "ratios.svg"
set datafile separator tab
set datafile missing "?"
set logscale x
set xrange [5e-5:20]
set format x "%g"
set xlabel "our time / their time (left of 1: we are faster)"
stats "ratios.tsv" skip 1 using 0 nooutput
rows = STATS_records
set yrange [rows - 0.5 : -0.5]
set grid xtics ytics lt 1 lc rgb "#e4e4e4"
set arrow from 1, graph 0 to 1, graph 1 nohead lc rgb "#444444" lw 1.5
set key outside top center horizontal
set border 3
set tics nomirror
unset mxtics
plot "ratios.tsv" skip 1 using 2:0:ytic(1) with points pt 9 ps 1.3 lc rgb "#000000" title "floor", \
     "" skip 1 using 3:0 with points pt 7 ps 1.1 lc rgb "#0072b2" title "NumPy", \
     "" skip 1 using 4:0 with points pt 5 ps 1.1 lc rgb "#d55e00" title "PyTorch", \
     "" skip 1 using 5:0 with points pt 13 ps 1.4 lc rgb "#e69f00" title "libtorch, C++", \
     "" skip 1 using 6:0 with points pt 11 ps 1.3 lc rgb "#009e73" title "FANN", \
     "" skip 1 using 7:0 with points pt 15 ps 1.3 lc rgb "#cc79a7" title "ADOL-C"
