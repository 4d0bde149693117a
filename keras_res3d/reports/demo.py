"""A local web page that tries a model on videos and on the camera: the best classes, scores over time, Grad-CAM."""

from __future__ import annotations

import html
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from keras_res3d.data.evaluation import clips_at, evaluation_places
from keras_res3d.data.open import open_video
from keras_res3d.data.types import VideoError
from keras_res3d.inference.classifier import Classifier, as_classifier, check_takes_videos
from keras_res3d.inference.grad_cam import grad_cam
from keras_res3d.inference.videos import predict_video
from keras_res3d.reports.overlay import overlay
from keras_res3d.reports.pages import animation, shown_rate
from keras_res3d.reports.plots import timeline
from keras_res3d.tables import printable

if TYPE_CHECKING:
    import gradio

TOP, FRAMES_IN_STRIP, MOST_CLIPS = 5, 8, 64
NO_GRADIENTS = "Grad-CAM needs gradients, which an export does not have; open the .keras file of the model to see it."
_STYLE = """.clip figure { display: inline-block; margin: 0 1rem .5rem 0; vertical-align: top }
.clip img { display: block; width: 14rem; max-width: 100%; border-radius: 6px }
.clip .strip { display: grid; grid-template-columns: repeat(auto-fill, minmax(5rem, 1fr)); gap: 4px }
.clip .strip img { width: 100% }
footer { display: none !important }"""


@dataclass(frozen=True)
class Answer:
    """What the demo shows of a video.

    Attributes:
        shares: probability by class name, for the best five classes.
        picture: scores over time.
        clip: the clip that speaks most for the best class, uint8 `(frames, height, width, 3)`.
        heat: where, `(frames, height, width)` from 0 to 1; None where Grad-CAM cannot be had.
        why_not: why it cannot, or "".
        fps: frames of the clip a second.
        said: a sentence on the clip.
    """

    shares: dict[str, float]
    picture: Figure
    clip: np.ndarray
    heat: np.ndarray | None
    why_not: str
    fps: float
    said: str


def answer(classifier: Classifier, path, clips: int = 16) -> Answer:
    """Scores a video and looks closer at the clip that speaks most for its best class.

    Raises:
        VideoError: the video cannot be read.
    """
    prediction = predict_video(classifier, path, clips)
    shares = prediction.probabilities if prediction.multi_label else _shares(prediction.probabilities)
    mean, sampling = shares.mean(axis=0), classifier.card.sampling
    best = int(mean.argmax())
    number = int(shares[:, best].argmax())
    with open_video(path, fps=sampling.fps) as video:
        place = evaluation_places(video, sampling, clips)[number]
        (pixels,) = clips_at(video, sampling, [place])
        fps = shown_rate(video, sampling)
    names = _names(prediction.labels)
    heat, why_not = _heat(classifier, pixels, best)
    ranked = np.argsort(-mean, kind="stable")[:TOP]
    said = f"The clip around {prediction.seconds[number]:.1f} s speaks most for {names[best]}."
    picture = timeline(prediction.seconds, shares, names, top=TOP)
    return Answer({names[n]: float(mean[n]) for n in ranked}, picture, pixels, heat, why_not, fps, said)


def _heat(classifier: Classifier, pixels: np.ndarray, best: int) -> tuple[np.ndarray | None, str]:
    """Grad-CAM of a clip, or why there is none: an export, or a model that has no layer to look at."""
    if classifier.model is None:
        return None, NO_GRADIENTS
    try:
        return grad_cam(classifier, pixels[None], best)[0], ""
    except ValueError as error:
        return None, f"Grad-CAM: {printable(error)}."


def _names(labels) -> list[str]:
    """Class names as they may be shown; names that are shown alike get their numbers, since they are keys."""
    shown = [printable(label) for label in labels]
    return [name if shown.count(name) == 1 else f"{name} ({number})" for number, name in enumerate(shown)]


def _shares(scores: np.ndarray) -> np.ndarray:
    """Scores as shares of 1: probabilities stay as they are, logits go through a softmax."""
    if (scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=1e-2):
        return scores
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def clip_html(found: Answer) -> str:
    """The clip as the model sees it, beside it Grad-CAM, moving and frame by frame."""
    figures = [("what the model sees", found.clip)]
    strip = ""
    if found.heat is not None:
        hot = overlay(found.clip, found.heat)
        figures.append(("Grad-CAM", hot))
        chosen = np.unique(np.linspace(0, len(hot) - 1, FRAMES_IN_STRIP).round().astype(int))
        stills = "".join(f'<img src="{animation(hot[n : n + 1])}" alt="frame {n + 1}">' for n in chosen)
        strip = f'<p>Frame by frame:</p><div class="strip">{stills}</div>'
    shown = "".join(
        f'<figure><img src="{animation(clip, found.fps)}" alt="{name}"><figcaption>{name}</figcaption></figure>'
        for name, clip in figures
    )
    remark = f"<p>{html.escape(found.why_not)}</p>" if found.why_not else ""
    return f'<div class="clip"><p>{html.escape(found.said)}</p>{shown}{strip}{remark}</div>'


def build_demo(model) -> gradio.Blocks:
    """The demo of a model as `gradio.Blocks`.

    Args:
        model: as of `predict_video`: a run's folder, a `.keras` file, an export, published weights, or a model.

    Raises:
        ImportError: gradio is not installed.
    """
    gradio = _gradio()
    classifier = as_classifier(model)
    check_takes_videos(classifier)
    turn = threading.Lock()  # runners and Keras models are used by one visitor at a time

    def tried(path, clips):
        if not path:
            raise gradio.Error("Choose a video, or record one.", print_exception=False)
        try:
            with turn:
                found = answer(classifier, path, int(np.clip(clips, 1, MOST_CLIPS)))
        except (VideoError, OSError) as error:
            # The message would be taken for HTML.
            said = html.escape(printable(str(error).replace(str(path), os.path.basename(path))))
            raise gradio.Error(said, duration=None, print_exception=False) from error
        return found.shares, found.picture, clip_html(found)

    card = classifier.card
    title = f"{printable(card.net)}, {len(card.labels)} classes" if card.labels else printable(card.net)
    with gradio.Blocks(title=f"keras_res3d: {title}", analytics_enabled=False, delete_cache=(3600, 3600)) as demo:
        # Names come from files and are no Markdown.
        gradio.HTML(f"<h1>{html.escape(title)}</h1><p>Drop a video or record one with the camera. It is scored on this "
                    "machine and sent nowhere.</p>")  # fmt: skip
        with gradio.Row():
            with gradio.Column():
                video = gradio.Video(
                    label="video", sources=["upload", "webcam"], include_audio=True,
                    webcam_options=gradio.WebcamOptions(mirror=False), height=400,
                )  # fmt: skip
                clips = gradio.Slider(1, MOST_CLIPS, 16, step=1, label="clips, evenly spread")
                button = gradio.Button("Score", variant="primary")
            with gradio.Column():
                best = gradio.Label(label="best classes", num_top_classes=TOP)
        over_time = gradio.Plot(label="scores over time", show_label=False)
        looks = gradio.HTML(label="clip and Grad-CAM", value="" if classifier.model else f"<p>{NO_GRADIENTS}</p>")
        outputs = [best, over_time, looks]
        button.click(tried, [video, clips], outputs, api_name="score")
        video.change(lambda path, clips: tried(path, clips) if path else (None, None, ""), [video, clips], outputs,
                     api_name=False)  # fmt: skip
    return demo


def serve_demo(model, host: str = "127.0.0.1", port: int = 7860, block: bool = True) -> gradio.Blocks:
    """Serves the demo of a model until it is interrupted.

    Args:
        model: as of `build_demo`.
        host: address to listen at; 127.0.0.1 is reached from this machine alone, 0.0.0.0 from the network.
        port: to listen at.
        block: False returns at once.

    Returns:
        The `gradio.Blocks`, whose `close()` ends it.

    Raises:
        OSError: the port is taken, or the host is no address of this machine.
    """
    demo = build_demo(model)
    gradio = _gradio()
    # Fonts of the system: the theme's own would come from the network.
    theme = gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    try:
        demo.launch(
            server_name=host, server_port=port, share=False, quiet=True, theme=theme, css=_STYLE, ssr_mode=False,
            max_file_size="1gb", prevent_thread_lock=not block, footer_links=[], enable_monitoring=False,
        )  # fmt: skip
    except OSError as error:
        taken = "the port is taken, or the address is not this machine's; choose another --port or --host"
        raise OSError(f"nothing can listen at {host}:{port}: {taken}") from error
    return demo


def _gradio():
    """The package, told to report nothing to anybody."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        import gradio
    except ImportError as error:
        raise ImportError("the demo needs gradio, which is not installed: pip install 'keras-res3d[demo]'") from error
    return gradio
