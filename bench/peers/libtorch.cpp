/* libtorch.cpp: the cases of small arrays in libtorch, the C++ library of PyTorch, on one thread. */
#include <torch/torch.h>

#include "bench/peers/serve.h"

namespace {

const torch::TensorOptions f64 = torch::dtype(torch::kFloat64);

torch::Tensor leaf(double v) { return torch::tensor(v, f64).set_requires_grad(true); }

/* ---- scalar-chain; work runs a tenth of it, as the time per node does not depend on the length ----------------- */

const int chain_steps = 333333;

struct Chain {
    torch::Tensor x = leaf(0.5), y = leaf(1e-6);

    torch::Tensor of(int steps) const {
        torch::Tensor z = x;
        for (int i = 0; i < steps; i++) z = torch::sin(z) * y + z;
        return z;
    }
    void work() const { of(chain_steps / 10).backward(); }
    void result(double to[2]) const {
        torch::Tensor z = of(chain_steps);
        z.backward();
        to[0] = z.item<double>(), to[1] = x.grad().item<double>() + y.grad().item<double>();
    }
};

/* ---- rosenbrock: 1000 scalar variables ------------------------------------------------------------------------- */

struct Rosenbrock {
    std::vector<torch::Tensor> x;

    Rosenbrock() {
        for (int i = 0; i < 1000; i++) x.push_back(leaf(1 + 0.1 * std::sin(i)));
    }
    torch::Tensor loss() const {
        torch::Tensor sum;
        for (size_t i = 0; i + 1 < x.size(); i++) {
            torch::Tensor term = torch::square(x[i + 1] - torch::square(x[i])) * 100 + torch::square(x[i] - 1);
            sum = i ? sum + term : term;
        }
        return sum;
    }
    void work() const { loss().backward(); }
    void result(double to[2]) const {
        torch::Tensor y = loss();
        y.backward();
        to[0] = y.item<double>(), to[1] = 0;
        for (const torch::Tensor &v : x) to[1] += std::pow(v.grad().item<double>(), 2);
    }
};

/* ---- add-1x1 --------------------------------------------------------------------------------------------------- */

struct Add {
    torch::Tensor x = leaf(0.5), y = leaf(1e-6);

    void work() const { (x + y).backward(); }
    void result(double to[2]) const {
        torch::Tensor z = x + y;
        z.backward();
        to[0] = z.item<double>(), to[1] = x.grad().item<double>() + 2 * y.grad().item<double>();
    }
};

/* ---- xor: 2-8-1, tanh, mean squared error, SGD ----------------------------------------------------------------- */

/* The weights [out,in] of mlp_new in bench/nets.c. */
torch::Tensor weights(int64_t out, int64_t in, uint32_t seed) {
    torch::Tensor w = torch::empty({ out, in });
    serve_fill(w.data_ptr<float>(), (size_t)(out * in), seed);
    return w / std::sqrt((float)in);
}

struct Xor {
    torch::Tensor x = torch::tensor({ { 0.f, 0.f }, { 0.f, 1.f }, { 1.f, 0.f }, { 1.f, 1.f } });
    torch::Tensor t = torch::tensor({ { 0.f }, { 1.f }, { 1.f }, { 0.f } });
    torch::nn::Linear one{ 2, 8 }, two{ 8, 1 };
    torch::nn::Sequential net{ one, torch::nn::Tanh(), two };
    torch::optim::SGD opt{ net->parameters(), 1e-4 };

    Xor() {
        torch::NoGradGuard no_grad;
        one->weight.copy_(weights(8, 2, 7)), one->bias.zero_();
        two->weight.copy_(weights(1, 8, 8)), two->bias.zero_();
    }
    torch::Tensor step(torch::optim::SGD &optimiser) {
        torch::Tensor loss = torch::mse_loss(net->forward(x), t);
        optimiser.zero_grad();
        loss.backward();
        optimiser.step();
        return loss;
    }
    void work() { step(opt); }
    void result(double to[2]) {
        torch::optim::SGD faster(net->parameters(), 0.1);
        to[0] = step(faster).item<float>();
        for (int i = 1; i < 100; i++) to[1] = step(faster).item<float>();
    }
};

/* ---- start-up: this program with an argument computes one gradient --------------------------------------------- */

int first() {
    torch::Tensor x = leaf(0.5), y = leaf(4.2);
    (torch::sin(x) + x * y).backward();
    return y.grad().item<double>() != 0.5;
}


} // namespace

int main(int argc, char **) {
    torch::set_num_threads(1);
    if (argc > 1) return first();
    const served_case cases[] = {
        served<Chain>("scalar-chain", 3 * (chain_steps / 10)),
        served<Rosenbrock>("rosenbrock", 1),
        served<Add>("add-1x1", 1),
        served<Xor>("xor-rebuild", 1),
        served<Xor>("xor-eval", 1),
        served<serve_start>("start-up", 1),
    };
    return serve(sizeof cases / sizeof *cases, cases);
}
