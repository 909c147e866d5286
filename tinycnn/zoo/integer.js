// A program in whole numbers, computed as its C program does: see kernels/ in tinycnn/export.
// Numbers are doubles, exact up to 2^53; the largest product here is below 2^47. Maps are (row, column, channel).

const LARGEST = 2 ** 30;
const clamp = (number, low, high) => Math.min(Math.max(number, low), high);

// floor(sum × multiplier / 2^shift + 1/2), limited to what 32 bits are used for
const requantise = (sum, multiplier, shift) =>
  clamp(Math.floor((sum * multiplier + 2 ** (shift - 1)) / 2 ** shift), -LARGEST, LARGEST);

const SIGMOIDS = Array.from({ length: 129 }, (_, i) => Math.round(2 ** 15 / (1 + Math.exp(8 - i / 8))));
function sigmoid(number) {
  const place = clamp(number, -32768, 32767) + 32768, index = Math.floor(place / 512);
  return SIGMOIDS[index] + Math.floor(((SIGMOIDS[index + 1] - SIGMOIDS[index]) * (place % 512) + 256) / 512);
}

// A function, 11 bits after the binary point, of a number with 12: between the values of its table, and straight beyond.
function curve(table, number) {
  const place = clamp(number, -2097152, 2097152) + 32768, index = clamp(Math.floor(place / 512), 0, 127);
  return table[index] + Math.floor(((table[index + 1] - table[index]) * (place - index * 512) + 256) / 512);
}

const finished = (number, out) => clamp(number + out.zero, out.wide ? -LARGEST : 0, out.wide ? LARGEST : 255);

// Calls visit(row, column, channel, index) for every number of a map, in order.
function every([channels, height, width], visit) {
  let index = 0;
  for (let row = 0; row < height; row++)
    for (let column = 0; column < width; column++)
      for (let channel = 0; channel < channels; channel++) visit(row, column, channel, index++);
}

// The largest number of the window of an output, and the sum of all.
function windowOf(kernel, map, [channels, , width], row, column, channel) {
  let largest = -Infinity, sum = 0;
  for (let i = 0; i < kernel.size[0]; i++)
    for (let j = 0; j < kernel.size[1]; j++) {
      const y = row * kernel.stride[0] + i, x = column * kernel.stride[1] + j;
      const number = map[(y * width + x) * channels + channel];
      largest = Math.max(largest, number);
      sum += number;
    }
  return [largest, sum];
}

const reflected = (place, size) => (place < 0 ? -place : place < size ? place : 2 * (size - 1) - place);

// Returns a function (row, column, output) -> the sum of a convolution, times its multiplier.
function convolved(kernel, map, [channels, height, width]) {
  const [outputs, rows, columns, each] = kernel.weights.shape, perGroup = outputs / kernel.groups;
  const { weights, bias, multiplier, negative, shift, border } = kernel.numbers;
  const [stepY, stepX] = kernel.stride, [apartY, apartX] = kernel.dilation, [padY, padX] = kernel.pad;
  return (row, column, output) => {
    const first = Math.floor(output / perGroup) * each;
    let sum = bias[output], at = output * rows * columns * each;
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < columns; j++) {
        const y = row * stepY - padY + i * apartY, x = column * stepX - padX + j * apartX;
        const inside = y >= 0 && y < height && x >= 0 && x < width;
        const from = inside ? map : border, start = (inside ? (y * width + x) * channels : 0) + first;
        for (let k = 0; k < each; k++) sum += from[start + k] * weights[at++];
      }
    return requantise(sum, (negative && sum < 0 ? negative : multiplier)[output], shift[output]);
  };
}

// Each returns a function (row, column, channel, index) -> number for a kernel, its inputs and their shapes.
const KERNELS = {
  Conv(kernel, [map], [shape]) {
    const sum = convolved(kernel, map, shape);
    return (...place) => finished(sum(...place), kernel.out);
  },
  Curved(kernel, [map], [shape]) {
    const sum = convolved(kernel, map, shape), { table, by, by_shift, zeros } = kernel.numbers;
    return (row, column, output) => {
      const i = by.length > 1 ? output : 0;
      return clamp(requantise(curve(table, sum(row, column, output)), by[i], by_shift[i]) + zeros[i], 0, 255);
    };
  },
  MaxPool: (kernel, [map], [shape]) => (...place) => windowOf(kernel, map, shape, ...place)[0],
  Average: (kernel, [map], [shape]) => (...place) => {
    const sum = windowOf(kernel, map, shape, ...place)[1] - kernel.zero * kernel.size[0] * kernel.size[1];
    return kernel.out.wide ? sum : finished(requantise(sum, kernel.multiplier, kernel.shift), kernel.out);
  },
  GatedPool: (kernel, [map], [shape]) => (row, column, channel) => {
    const [largest, sum] = windowOf(kernel, map, shape, row, column, channel);
    const { bias, multiplier, gate_shift } = kernel.numbers;
    const gate = sigmoid(requantise(sum + bias[channel], multiplier[channel], gate_shift[channel]));
    return finished(requantise((largest - kernel.zero) * gate, kernel.factor, kernel.shift), kernel.out);
  },
  Blur(kernel, [map], [[channels, height, width]]) {
    const side = kernel.row.length, before = (side - 1) >> 1, whole = 4 ** (side - 1);
    return (row, column, channel) => {
      let sum = whole / 2;
      for (let i = 0; i < side; i++)
        for (let j = 0; j < side; j++) {
          const y = reflected(row * kernel.stride + i - before, height);
          const x = reflected(column * kernel.stride + j - before, width);
          sum += kernel.row[i] * kernel.row[j] * map[(y * width + x) * channels + channel];
        }
      return Math.floor(sum / whole);
    };
  },
  Add: (kernel, [map, other], [[channels], [, , otherWidth]]) => (row, column, channel, index) => {
    const beside = other[((row + kernel.crop) * otherWidth + column + kernel.crop) * channels + channel];
    const [one, two] = kernel.multipliers, [zero, otherZero] = kernel.zeros;
    const sum = (map[index] - zero) * one + (beside - otherZero) * two;
    return finished(requantise(sum, 1, kernel.shift), kernel.out);
  },
  Scale: (kernel, [map, gates]) => (row, column, channel, index) => {
    const product = (map[index] - kernel.zero) * sigmoid(gates[channel]);
    return finished(requantise(product, kernel.multiplier, kernel.shift), kernel.out);
  },
  Lookup: (kernel, [map]) => (row, column, channel, index) => kernel.numbers.table[map[index]],
};

const TYPES = { int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, int32: Int32Array };
const bytes = (text) => Uint8Array.from(atob(text), (each) => each.charCodeAt(0));

// Decodes the arrays of a program, once: into ``numbers`` of each step.
function ready(program) {
  for (const step of program.steps) {
    const arrays = Object.entries(step).filter(([, value]) => value && value.base64 !== undefined);
    const decoded = ({ type, base64 }) => new TYPES[type](bytes(base64).buffer);
    step.numbers = Object.fromEntries(arrays.map(([name, value]) => [name, decoded(value)]));
  }
  return program;
}

// Returns every value of the program by its number, for an image of bytes.
function computed(program, image) {
  const values = { 0: image };
  for (const step of program.steps) {
    const shapes = step.inputs.map((each) => program.shapes[each]), made = program.shapes[step.output];
    const number = KERNELS[step.kernel](step, step.inputs.map((each) => values[each]), shapes);
    const out = new Int32Array(made[0] * made[1] * made[2]);
    every(made, (row, column, channel, index) => (out[index] = number(row, column, channel, index)));
    values[step.output] = out;
  }
  return values;
}

// The scores of the classes; times the step of the result they are the logits.
const scoresOf = ({ result, formats }, values) => Array.from(values[result], (each) => each - formats[result].zero);

const largestOf = (scores) => scores.indexOf(Math.max(...scores));
