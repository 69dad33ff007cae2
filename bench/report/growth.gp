# growth.gp: plots growth.tsv to growth.svg: time and memory per node and per sample against their number.
set terminal svg size 900,700 font "sans-serif,14" background "white"
set output "growth.svg"
set datafile separator tab
set multiplot layout 2,2 margins 0.1,0.97,0.1,0.93 spacing 0.13,0.2
set border 3
set tics nomirror
unset mxtics
set grid lt 1 lc rgb "#e4e4e4"
set logscale x
set key top left Left reverse samplen 2 spacing 1.1
nodes = '< grep "^nodes" growth.tsv'
batch = '< grep "^batch" growth.tsv'

set format x "10^{%L}"
set xrange [1e3:1e7]
set xlabel "scalar nodes in the graph"
set title "Time per node"
set ylabel "ns"
set yrange [0:40<*]
plot nodes using 2:3 with linespoints pt 7 ps 0.7 lw 2 lc rgb "#0072b2" title "record and backward", \
     nodes using 2:4 with linespoints pt 5 ps 0.7 lw 2 lc rgb "#d55e00" title "ad\\_eval"

set title "Memory per node"
set ylabel "bytes"
set yrange [0:120]
plot nodes using 2:5 with linespoints pt 7 ps 0.7 lw 2 lc rgb "#0072b2" notitle

set logscale x 2
set format x "%.0f"
set xrange [1:4400]
set xtics (1, 4, 16, 64, 256, 1024, 4096)
set xlabel "samples in a minibatch"
set title "Time per sample, 784-128-10"
set ylabel "us"
set logscale y
set yrange [1:100]
plot batch using 2:3 with linespoints pt 7 ps 0.7 lw 2 lc rgb "#0072b2" notitle

set title "Memory of training, 784-128-10"
set ylabel "MB"
set yrange [1:100]
plot batch using 2:($4/1e6) with linespoints pt 7 ps 0.7 lw 2 lc rgb "#0072b2" title "held by the graph", \
     batch using 2:($5/1e6) with linespoints pt 5 ps 0.7 lw 2 lc rgb "#d55e00" title "needed, counted by hand"
unset multiplot
