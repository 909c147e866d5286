"""What the kernels compute in: the memory of a plan's maps and steps, for batches of one size."""

import itertools
import math

import torch
from torch import nn

from tinycnn.network.native import library, steps


class Buffers:
    """The memory of a plan, as large as the kernels need it for batches like ``images``."""

    def __init__(self, kernels, planned, images, training):
        self.kernels, self.plan, self.lanes, self.kept = kernels, planned, kernels.lanes(), []
        self.threads = torch.get_num_threads()
        self.blocks = math.ceil(len(images) / self.lanes)
        self.slots = self.blocks if training else self.threads  # a block keeps its maps for the way back
        self.maps = (library.Map * len(planned.maps))()
        self.steps = (library.Step * len(planned.steps))()
        self.values, self.gradients = [], []  # where in the steps the addresses of parameters go
        self.drops = []  # what `_draw` takes
        for s, step in zip(self.steps, planned.steps, strict=True):
            self._step(s, step, training)
        self.norms = [(s, step.norm) for s, step in zip(self.steps, planned.steps, strict=True) if step.norm]
        for m, each in zip(self.maps, planned.maps, strict=True):
            self._map(m, each, training)
        scratch = max((s.size[0] for s in self.steps if s.kind == steps.CONVOLUTION), default=0) if training else 0
        self.network = library.Network(
            self.maps, self.steps, len(self.steps), self.threads, self.new(self.threads * scratch * self.lanes), scratch
        )

    @staticmethod
    def key(kernels, images, training, wanted):
        """Return what batches must have in common to be computed in the same buffers."""
        blocks = math.ceil(len(images) / kernels.lanes()) if training else None
        return torch.get_num_threads(), blocks, images.shape[1:], wanted

    def new(self, count):
        """Return the address of so many new numbers, all 0."""
        self.kept.append(torch.zeros(count))
        return self.kept[-1].data_ptr()

    def _map(self, m, each, training):
        m.channels, m.height, m.width = each.shape
        m.wanted, m.halo = each.wanted, each.halo
        source = each
        while source.of is not None:
            source = self.plan.maps[source.of]
        m.border = source.border
        m.brief_data, m.brief_grad = source.brief_data, each.brief_grad
        if source is each:
            m.data = self.new(self._numbers(each, each.border, each.brief_data))
        else:
            m.data = self.maps[each.of].data  # made before
        if each.whole:
            m.grad, m.brief_grad = self.maps[each.of].grad, self.maps[each.of].brief_grad
        elif training:
            m.grad = self.new(self._numbers(each, each.halo, each.brief_grad))
            if each.normed:
                m.normed = self.new(self._numbers(each, 0, False))

    def _numbers(self, each, margin, brief):
        plane = (each.height + 2 * margin) * (each.width + 2 * margin)
        return (self.threads if brief else self.slots) * each.channels * plane * self.lanes

    def _step(self, s, step, training):
        for name in ("kind", "in_", "out", "other", "rows", "columns", "stride", "pad", "dilation", "groups"):
            setattr(s, name, getattr(step, name))
        s.function, s.pool, s.again = step.function, step.pool, step.again
        for number in range(library.PARAMETERS):
            owner, name = (number < len(step.parameters) and step.parameters[number]) or ({}, "")
            parameter = owner.get(name)
            s.size[number] = parameter.numel() if isinstance(parameter, nn.Parameter) else 0
            if parameter is not None:
                self.values.append((s.parameter, number, owner, name))
            if s.size[number]:
                self.gradients.append((s.gradient, number, owner, name))
        s.partials = sum(s.size)
        before = self.plan.maps[step.in_]
        if step.kind == steps.CONVOLUTION:
            s.packed = self.new(s.size[0])
            if training and before.wanted:
                s.packed_back = self.new(s.size[0])
        if step.kind == steps.POINTWISE:
            for name in ("scale", "shift", "mean", "inverse", "d_shift", "d_scale"):
                setattr(s, name, self.new(before.channels))
            s.sums = self.new(2 * self.blocks * before.channels * 2)  # in float64
        if step.norm is not None:
            s.batch_norm, s.eps, s.momentum = True, step.norm.eps, step.norm.momentum
        if training and step.drop:
            s.drop_each = type(step.drop) is nn.Dropout
            size = math.prod(before.shape) if s.drop_each else before.channels
            self.drops.append((s, step.drop, self.new(self.blocks * self.lanes * size), size))
        if training:
            s.partial = self.new(self.blocks * s.partials)

    def parameters(self) -> list[nn.Parameter]:
        """Return the parameters of all steps, each once, as they are now: a module may have been given others."""
        return list({id(owner[name]): owner[name] for _, _, owner, name in self.gradients}.values())

    def _update_pointers(self):
        """Set the present addresses of parameters and statistics."""
        for where, number, owner, name in self.values:
            where[number] = owner[name].data_ptr()
        for s, norm in self.norms:
            s.running_mean, s.running_var = norm.running_mean.data_ptr(), norm.running_var.data_ptr()

    def _draw(self, s, drop, factors, size, images):
        """Draw what a dropout keeps as torch does; the kernels lay it out as they read it."""
        s.drop = factors if drop.p else None
        if drop.p:
            kept = torch.empty(images, size).bernoulli_(1 - drop.p)
            self.kernels.lay_out(kept.data_ptr(), images, size, 1 - drop.p, factors)

    def _out(self, images):
        return images.new_empty(len(images), *self.plan.out_shape)

    def forward(self, images):
        """Return what the layers make of a batch in training mode; update running statistics."""
        self._update_pointers()
        if self.norms:
            torch._foreach_add_([norm.num_batches_tracked for _, norm in self.norms], 1)
        for each in self.drops:
            self._draw(*each, len(images))
        out = self._out(images)
        self.kernels.forward(self.network, images.data_ptr(), len(images), out.data_ptr())
        return out

    def evaluate(self, images):
        """Return what the layers make of a batch in evaluation mode."""
        self._update_pointers()
        out = self._out(images)
        self.kernels.evaluate(self.network, images.data_ptr(), len(images), out.data_ptr())
        return out

    def backward(self, parameters, d_out, d_images) -> list[torch.Tensor]:
        """Return the gradients of ``parameters()``, and set that of the images."""
        sizes = [each.numel() for each in parameters]
        flat = torch.zeros(sum(sizes))  # one buffer, so that what reads them all reads on
        addresses = itertools.accumulate(sizes, lambda at, size: at + 4 * size, initial=flat.data_ptr())
        address = dict(zip(map(id, parameters), addresses, strict=False))
        for where, number, owner, name in self.gradients:
            where[number] = address[id(owner[name])]
        where = None if d_images is None else d_images.data_ptr()
        self.kernels.backward(self.network, d_out.data_ptr(), len(d_out), where)
        parts = zip(parameters, flat.split(sizes), strict=True)
        return [part if each.dim() == 1 else part.view(each.shape) for each, part in parts]
