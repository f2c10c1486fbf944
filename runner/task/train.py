"""Trains a small GPT for a fixed budget. This is the file that proposals edit; prepare.py stays as it is.

python train.py            reads $DATA_DIR, $PRESET, $SEED and the budget, writes $OUT_DIR/model.pt, exits 0
load(out_dir, device)      what the runner calls afterwards, in another process, to score the model
"""
# mypy: disable-error-code="no-any-return, no-untyped-call, override, return-value"

import math
import os
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from prepare import PRESETS, Batches, Budget
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

PRESET = os.environ.get("PRESET", "cpu")

# Shape
DEPTH = 2  # transformer blocks
WIDTH = 64  # channels of the residual stream
HEAD_WIDTH = 32  # channels of one attention head
MLP_RATIO = 4  # hidden channels of the MLP per channel
WINDOW_PATTERN = "L"  # attention span of each block, repeated: L the whole context, S the short window; the last is L
SHORT_WINDOW = 64  # tokens an S block looks back
VALUE_EMBEDDING_EVERY = 1  # every n-th block, counted from the last, adds token embeddings to its values; 0: none
ROPE_BASE = 10000  # longest wavelength of the rotary position embedding, in tokens over 2 pi
LOGIT_SOFTCAP = 0.0  # logits are squashed to +- this; 0: not at all

# Batch
BATCH_SIZE = 8  # sequences in one pass
ACCUMULATION = 1  # passes in one step

# Learning rates, at their peak
EMBEDDING_LR = 0.3  # token and value embeddings
UNEMBEDDING_LR = 0.008  # the output layer
MATRIX_LR = 0.03  # everything Muon optimises
SCALAR_LR = 0.03  # residual and x0 mixing weights

# Schedule, in shares of the budget
WARMUP_FRAC = 0.0  # linear rise at the start
WARMDOWN_FRAC = 0.5  # linear fall at the end
FINAL_LR_FRAC = 0.0  # where the fall ends, as a share of the peak

# Optimisers
MUON_MOMENTUM = 0.95  # share of the old direction that stays
MUON_STEPS = 5  # Newton-Schulz iterations
MUON_DECAY = 0.1  # weight decay of matrices, where it agrees with the update
ADAM_BETA1 = 0.8  # memory of the gradient
ADAM_BETA2 = 0.95  # memory of its square
ADAM_DECAY = 0.0  # weight decay of embeddings and the output layer

# Initial values
INIT_SCALE = 1.0  # of every matrix, relative to 1 / sqrt(WIDTH)
EMBEDDING_INIT = 1.0  # standard deviation
X0_INIT = 0.1  # how much of the embedding is added back before each block

if PRESET == "gpu":  # the same code at the size of one H100 for five minutes
    DEPTH, WIDTH, HEAD_WIDTH = 9, 512, 128
    WINDOW_PATTERN, SHORT_WINDOW, VALUE_EMBEDDING_EVERY, ROPE_BASE = "SSSSL", 256, 2, 200_000
    BATCH_SIZE, ACCUMULATION = 64, 2
    EMBEDDING_LR, UNEMBEDDING_LR, MATRIX_LR, SCALAR_LR = 0.9, 0.005, 0.04, 0.05
    WARMDOWN_FRAC, FINAL_LR_FRAC = 0.75, 0.05
    MUON_DECAY, INIT_SCALE = 0.2, 0.68

DEVICE = "cuda" if PRESET == "gpu" else "cpu"
VOCAB_SIZE = PRESETS[PRESET].vocab_size
CONTEXT = PRESETS[PRESET].sequence_length
LOG_EVERY = 20  # steps

Mask = BlockMask | Tensor | None


def norm(x: Tensor) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding of [B, H, T, D]."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


class Attention(nn.Module):
    def __init__(self, layer: int) -> None:
        super().__init__()
        self.short = WINDOW_PATTERN[layer % len(WINDOW_PATTERN)] == "S" and layer < DEPTH - 1
        self.query = nn.Linear(WIDTH, WIDTH, bias=False)
        self.key = nn.Linear(WIDTH, WIDTH, bias=False)
        self.value = nn.Linear(WIDTH, WIDTH, bias=False)
        self.output = nn.Linear(WIDTH, WIDTH, bias=False)
        has_embedding = VALUE_EMBEDDING_EVERY > 0 and (DEPTH - 1 - layer) % VALUE_EMBEDDING_EVERY == 0
        self.value_embedding = nn.Embedding(VOCAB_SIZE, WIDTH) if has_embedding else None

    def forward(self, x: Tensor, tokens: Tensor, cos: Tensor, sin: Tensor, mask: Mask) -> Tensor:
        B, T, C = x.shape

        def heads(y: Tensor) -> Tensor:
            return y.view(B, T, C // HEAD_WIDTH, HEAD_WIDTH).transpose(1, 2)

        values = self.value(x)
        if self.value_embedding is not None:
            values = values + self.value_embedding(tokens).to(values.dtype)
        q = norm(rotate(heads(self.query(x)), cos, sin))
        k = norm(rotate(heads(self.key(x)), cos, sin))
        y = attend(q, k, heads(values), mask if self.short else None)
        return self.output(y.transpose(1, 2).reshape(B, T, C))


def short_mask() -> Mask:
    """Which of the last SHORT_WINDOW tokens a token sees: blocks to skip on a GPU, and a plain table elsewhere."""

    def sees(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return (i >= j) & (i - j < SHORT_WINDOW)

    if DEVICE == "cuda":
        return create_block_mask(sees, None, None, CONTEXT, CONTEXT, DEVICE)
    i = torch.arange(CONTEXT)
    return sees(i, i, i[:, None], i)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> Tensor:
    """Causal attention over [B, H, T, D]; a mask narrows it."""
    if mask is None:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    if isinstance(mask, BlockMask):
        return flex_attention(q, k, v, block_mask=mask)
    T = q.shape[2]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:T, :T])


class Block(nn.Module):
    def __init__(self, layer: int) -> None:
        super().__init__()
        self.attention = Attention(layer)
        self.expand = nn.Linear(WIDTH, MLP_RATIO * WIDTH, bias=False)
        self.contract = nn.Linear(MLP_RATIO * WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor, tokens: Tensor, cos: Tensor, sin: Tensor, mask: Mask) -> Tensor:
        x = x + self.attention(norm(x), tokens, cos, sin, mask)
        return x + self.contract(F.relu(self.expand(norm(x))).square())


class GPT(nn.Module):
    """tokens int64 [B, T] -> logits float [B, T, V]."""

    cos: Tensor
    sin: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCAB_SIZE, WIDTH)
        self.blocks = nn.ModuleList(Block(layer) for layer in range(DEPTH))
        self.unembedding = nn.Linear(WIDTH, VOCAB_SIZE, bias=False)
        self.residual_mix = nn.Parameter(torch.ones(DEPTH))
        self.x0_mix = nn.Parameter(torch.full((DEPTH,), X0_INIT))
        frequency = ROPE_BASE ** -torch.linspace(0, 1, HEAD_WIDTH // 2 + 1)[:-1]
        angle = torch.arange(CONTEXT)[:, None] * frequency
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        self.short_mask = short_mask() if "S" in WINDOW_PATTERN else None
        self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        bound = INIT_SCALE * math.sqrt(3 / WIDTH)
        for name, weight in self.named_parameters():
            if name == "embedding.weight":
                weight.normal_(std=EMBEDDING_INIT)
            elif name == "unembedding.weight":
                weight.normal_(std=0.001)
            elif name.endswith(("output.weight", "contract.weight")):
                weight.zero_()
            elif weight.ndim == 2:
                weight.uniform_(-bound, bound)

    def forward(self, tokens: Tensor) -> Tensor:
        x = x0 = norm(self.embedding(tokens))
        for layer, block in enumerate(self.blocks):
            x = block(
                self.residual_mix[layer] * x + self.x0_mix[layer] * x0, tokens, self.cos, self.sin, self.short_mask
            )
        logits: Tensor = self.unembedding(norm(x)).float()
        return LOGIT_SOFTCAP * torch.tanh(logits / LOGIT_SOFTCAP) if LOGIT_SOFTCAP else logits


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal (Jordan et al., 2024); all matrices of one shape at once."""

    def __init__(self, matrices: list[nn.Parameter], *, lr: float) -> None:
        shapes = sorted({tuple(matrix.shape) for matrix in matrices})
        super().__init__([{"params": [m for m in matrices if m.shape == shape]} for shape in shapes], {"lr": lr})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            weights = group["params"]
            gradient = torch.stack([weight.grad for weight in weights])
            state = self.state[weights[0]]
            if not state:
                state["momentum"] = torch.zeros_like(gradient)
            momentum = state["momentum"]
            momentum.lerp_(gradient, 1 - MUON_MOMENTUM)
            update = orthogonal(gradient.lerp_(momentum, MUON_MOMENTUM))
            update *= max(1.0, update.shape[-2] / update.shape[-1]) ** 0.5
            for weight, change in zip(weights, update, strict=True):
                agrees = (weight * change) > 0
                weight.sub_(group["lr"] * (change + MUON_DECAY * weight * agrees))


def orthogonal(matrices: Tensor) -> Tensor:
    """The nearest orthogonal matrices to [N, R, C], roughly: the quintic Newton-Schulz iteration."""
    x = matrices.bfloat16() if matrices.is_cuda else matrices
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(MUON_STEPS):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return (x.mT if tall else x).to(matrices.dtype)


def optimisers(model: GPT) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks, AdamW for everything else."""
    named = dict(model.named_parameters())
    embeddings = [weight for name, weight in named.items() if name.endswith("embedding.weight")]
    embeddings = [weight for weight in embeddings if weight is not model.unembedding.weight]
    scalars = [model.residual_mix, model.x0_mix]
    taken = {id(weight) for weight in (*embeddings, model.unembedding.weight, *scalars)}
    adam = torch.optim.AdamW(
        [
            {"params": embeddings, "lr": EMBEDDING_LR},
            {"params": [model.unembedding.weight], "lr": UNEMBEDDING_LR},
            {"params": scalars, "lr": SCALAR_LR, "weight_decay": 0.0},
        ],
        betas=(ADAM_BETA1, ADAM_BETA2),
        eps=1e-10,
        weight_decay=ADAM_DECAY,
        fused=True,
    )
    return [adam, Muon([weight for weight in named.values() if id(weight) not in taken], lr=MATRIX_LR)]


def learning_rate(progress: float) -> float:
    """Share of the peak learning rate when `progress` of the budget is spent."""
    if progress < WARMUP_FRAC:
        return progress / WARMUP_FRAC
    fall = min(1.0, (1.0 - progress) / WARMDOWN_FRAC) if WARMDOWN_FRAC else 1.0
    return FINAL_LR_FRAC + (1.0 - FINAL_LR_FRAC) * fall


def training_loss(network: Callable[[Tensor], Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy in nats."""
    with torch.autocast(DEVICE, torch.bfloat16, enabled=DEVICE == "cuda"):
        logits = network(inputs)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def main() -> None:
    seed = int(os.environ["SEED"])
    torch.manual_seed(seed)
    torch.set_float32_matmul_precision("high")
    batches = Batches(
        data_dir=Path(os.environ["DATA_DIR"]),
        batch_size=BATCH_SIZE,
        sequence_length=CONTEXT,
        seed=seed,
        device=DEVICE,
    )
    model = GPT().to(DEVICE)
    network: Callable[[Tensor], Tensor] = torch.compile(model) if DEVICE == "cuda" else model
    steppers = optimisers(model)
    peaks = [[group["lr"] for group in stepper.param_groups] for stepper in steppers]
    budget = Budget.from_environment(PRESETS[PRESET])
    if DEVICE == "cuda":  # compile before the clock starts; no parameter changes
        fake = torch.zeros(BATCH_SIZE, CONTEXT, dtype=torch.long, device=DEVICE)
        training_loss(network, fake, fake).backward()
        model.zero_grad()

    step, smoothed = 0, math.log(VOCAB_SIZE)
    while budget.progress < 1.0:
        scale = learning_rate(budget.progress)
        with budget.step():
            for stepper, lrs in zip(steppers, peaks, strict=True):
                for group, lr in zip(stepper.param_groups, lrs, strict=True):
                    group["lr"] = lr * scale
            for _ in range(ACCUMULATION):
                loss = training_loss(network, *batches.next())
                (loss / ACCUMULATION).backward()
            for stepper in steppers:
                stepper.step()
                stepper.zero_grad()
        step += 1
        if step % LOG_EVERY == 0 or budget.progress >= 1.0:
            smoothed = 0.7 * smoothed + 0.3 * loss.item()
            print(f"step {step}/{budget.total_steps} loss {smoothed:.4f}", flush=True)
            if not math.isfinite(smoothed):
                raise SystemExit(f"training diverged: the loss is {smoothed} at step {step}")
    torch.save(model.state_dict(), Path(os.environ["OUT_DIR"]) / "model.pt")


def load(out_dir: str, device: str) -> Callable[[Tensor], Tensor]:
    """The trained model as a function: tokens int64 [B, T] -> logits float [B, T, V]."""
    model = GPT().to(device)
    model.load_state_dict(torch.load(Path(out_dir) / "model.pt", map_location=device, weights_only=True))
    model.eval()

    @torch.inference_mode()
    def predict(tokens: Tensor) -> Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            return model(tokens)

    return predict


if __name__ == "__main__":
    main()
