"""ddp.py: the steps of step.c by torch's DistributedDataParallel over gloo, each process with one thread.

usage: ddp.py RANK SIZE mlp|lenet|wide BATCH STEPS, for each rank at once; with SIZE 1 without it
"""
import sys, os, time, torch, torch.nn as nn, torch.distributed as dist
rank, size, net, batch, steps = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT='29511')
torch.set_num_threads(1)
dist.init_process_group('gloo', rank=rank, world_size=size)
if net == 'mlp': m = nn.Sequential(nn.Flatten(), nn.Linear(784,128), nn.ReLU(), nn.Linear(128,10))
elif net == 'wide': m = nn.Sequential(nn.Flatten(), nn.Linear(784,1024), nn.ReLU(), nn.Linear(1024,1024), nn.ReLU(), nn.Linear(1024,10))
else: m = nn.Sequential(nn.Conv2d(1,6,5,padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6,16,5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400,120), nn.ReLU(), nn.Linear(120,84), nn.ReLU(), nn.Linear(84,10))
d = nn.parallel.DistributedDataParallel(m) if size > 1 else m
opt = torch.optim.SGD(d.parameters(), lr=1e-3, momentum=0.9)
n = batch // size
x = torch.rand(n*4,1,28,28); y = torch.zeros(n*4, dtype=torch.long)
f = nn.CrossEntropyLoss(); t=[]
for i in range(steps):
    s=time.perf_counter(); k=i%4; p=slice(k*n,(k+1)*n)
    opt.zero_grad(); f(d(x[p]),y[p]).backward(); opt.step(); t.append(time.perf_counter()-s)
t=sorted(t[4:])
if rank==0: print(f'ddp {net} ranks {size} batch {batch}: step {1e6*t[len(t)//2]:.0f} us, least {1e6*t[len(t)//20]:.0f}', flush=True)
