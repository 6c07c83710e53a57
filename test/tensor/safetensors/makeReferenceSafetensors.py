# Writes reference.safetensors with the reference implementation: `pip install safetensors==0.8.0 numpy`, then run it here.
import numpy as np
from safetensors import TensorSpec, serialize

arrays = {
    "bool": ("bool", np.array([True, False, True])),
    "u8": ("uint8", np.array([0, 255], np.uint8)),
    "i8": ("int8", np.array([-128, 127], np.int8)),
    "i16": ("int16", np.array([-32768, 32767], np.int16)),
    "u16": ("uint16", np.array([0, 65535], np.uint16)),
    "f16": ("float16", np.array([1.5, -0.0, 65504, 2**-24, np.inf], np.float16)),
    "bf16": ("bfloat16", np.array([0x3FC0, 0x8000, 0x7F80, 0x0001], np.uint16)),  # 1.5, -0, inf, 2^-133
    "i32": ("int32", np.array([-(2**31), 2**31 - 1], np.int32)),
    "u32": ("uint32", np.array([0, 2**32 - 1], np.uint32)),
    "scalar": ("float32", np.array(2.5, np.float32)),
    "empty": ("float32", np.zeros((2, 0, 3), np.float32)),
    "f64": ("float64", np.array([np.pi, -1e300])),
    "i64": ("int64", np.array([-(2**63), 2**63 - 1], np.int64)),
    "u64": ("uint64", np.array([0, 2**64 - 1], np.uint64)),
    # Names whose order or spelling JavaScript and Rust could see differently.
    "10": ("float32", np.array([[1, 2], [3, 4]], np.float32)),
    "9": ("float32", np.array([9], np.float32)),
    "\U0001f600": ("float32", np.array([1], np.float32)),
    "\uffee": ("float32", np.array([2], np.float32)),
    'a"\\\n\x01\x7f\u2028/é': ("float32", np.array([3], np.float32)),
}
specs = {
    name: TensorSpec(dtype=dtype, shape=list(array.shape), data_ptr=array.ctypes.data, data_len=array.nbytes)
    for name, (dtype, array) in arrays.items()
}
# One key of metadata: the reference implementation writes several in random order.
with open("reference.safetensors", "wb") as file:
    file.write(serialize(specs, {"format": 'pt "é" \n'}))
