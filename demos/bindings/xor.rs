// xor.rs: trains XOR with autodiff from Rust, without a package: rustc xor.rs -L FOLDER, where FOLDER has the library.
use std::ffi::{c_int, c_void};

type Ref = *mut c_void; // a graph, a Var, a module or an optimiser

#[repr(C)]
struct Shape(c_int, [i64; 6]); // ndim, dim
#[repr(C)]
struct Mark(Ref, c_int, u64);
#[repr(C)]
struct AdamOpts(f64, [f64; 4], bool); // lr, then what has a default if it is 0

#[link(name = "autodiff")]
extern "C" {
    fn ad_graph_new() -> Ref;
    fn ad_seed(g: Ref, seed: u64);
    fn ad_tensor(g: Ref, dtype: c_int, data: *const f64, shape: Shape) -> Ref;
    fn ad_begin(g: Ref) -> Mark;
    fn ad_end(g: Ref, mark: Mark);
    fn ad_backward(y: Ref) -> c_int;
    fn ad_item(x: Ref) -> f64;
    fn ad_tanh(x: Ref) -> Ref;
    fn nn_mlp(g: Ref, dtype: c_int, n: c_int, widths: *const i64, act: unsafe extern "C" fn(Ref) -> Ref) -> Ref;
    fn nn_adam(net: Ref, opts: AdamOpts) -> Ref;
    fn nn_apply(net: Ref, x: Ref) -> Ref;
    fn nn_bce_logits(logits: Ref, target: Ref) -> Ref;
    fn nn_zero_grad(opt: Ref);
    fn nn_step(opt: Ref) -> c_int;
}

const F64: c_int = 1;

fn array(g: Ref, values: &[f64], columns: i64) -> Ref {
    let shape = Shape(2, [values.len() as i64 / columns, columns, 0, 0, 0, 0]);
    unsafe { ad_tensor(g, F64, values.as_ptr(), shape) }
}

fn main() {
    let mut value = f64::NAN;
    unsafe {
        let g = ad_graph_new();
        ad_seed(g, 1);
        let (x, t) = (array(g, &[0., 0., 0., 1., 1., 0., 1., 1.], 2), array(g, &[0., 1., 1., 0.], 1));
        let net = nn_mlp(g, F64, 3, [2, 8, 1].as_ptr(), ad_tanh);
        let adam = nn_adam(net, AdamOpts(0.05, [0.; 4], false));
        for _ in 0..300 {
            let scope = ad_begin(g);
            let loss = nn_bce_logits(nn_apply(net, x), t);
            nn_zero_grad(adam);
            ad_backward(loss);
            nn_step(adam);
            value = ad_item(loss);
            ad_end(g, scope);
        }
    }
    println!("loss {value:.6}");
    std::process::exit(if value < 0.01 { 0 } else { 1 });
}
