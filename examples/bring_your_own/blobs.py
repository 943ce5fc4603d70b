"""A sampler of one's own: soft discs at places that the noise chooses. No training, no weights."""

import torch


class Blobs:
    """Draws `count` discs an image; more steps give sharper edges."""

    shape = (5, 1, 8)  # noise of one image: x, y and three colours for up to 8 discs

    def __init__(self, count: int = 3, side: int = 32) -> None:
        self.count, self.side = count, side

    def sample(
        self,
        noise: torch.Tensor,
        *,
        steps: int,
        cond: object = None,
        guidance: float = 1.0,
        seeds: list[int] | None = None,
    ) -> torch.Tensor:
        """Return uint8 NHWC of noise (B, 5, 1, 8), float32."""
        axis = torch.linspace(-1, 1, self.side, device=noise.device)
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        image = torch.zeros(len(noise), 3, self.side, self.side, device=noise.device)
        for disc in range(self.count):
            place = noise[:, :2, 0, disc, None, None].tanh()
            colour = noise[:, 2:, 0, disc, None, None].sigmoid()
            distance = (x - place[:, :1]).square() + (y - place[:, 1:]).square()
            cover = torch.sigmoid(steps * (0.1 - distance))
            image = image * (1 - cover) + colour * cover
        return (image * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
