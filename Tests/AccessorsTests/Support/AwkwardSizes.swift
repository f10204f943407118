/// Sizes around the units that matter.
let awkwardSizes = [0, 1, 511, 512, 513, 4095, 4096, 4097, 8191, 8192, 10_000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1]
