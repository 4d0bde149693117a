"""The page of found moments: names are escaped, moments play, lines of time have both kinds of bars."""

import numpy as np

from keras_res3d.reports.moments import VideoMoments, moments_on_a_line, moments_page, precision_over_recall
from keras_res3d.reports.search import Thumbnail


def test_a_line_of_time_has_found_and_true_moments():
    figure = moments_on_a_line([("$run", [(1, 2, 0.9), (3, 5, -1)], [(1, 2.5, 1)]), ("dive", [], [])], 10, "a_$b$")
    bars = figure.axes[0].patches
    assert len(bars) == 3 and figure.axes[0].get_xlim() == (0, 10)
    assert [round(bar.get_width(), 6) for bar in bars] == [1, 2, 1.5] and bars[0].get_alpha() > bars[1].get_alpha()
    assert moments_on_a_line([], 0).axes[0].get_title() == ""


def test_curves_of_many_classes_keep_apart():
    one = np.array([1.0, 0.5]), np.array([0.5, 0.5]), 0.5
    lines = precision_over_recall({f"_c{number}": one for number in range(40)}).axes[0].lines
    assert len(lines) == 40 and len({(line.get_color(), line.get_linestyle()) for line in lines}) == 32
    assert not precision_over_recall({}).axes[0].lines


def test_the_page(tmp_path):
    line = moments_on_a_line([("run", [(1, 2, 0.9)], [])], 10)
    thumbnail = Thumbnail("<b>run</b>", ("score 0.9", "1.0 to 2.0 s"), "data:image/webp;base64,AAAA")
    broken = Thumbnail("dive", (), None, "cut short")
    page = moments_page([VideoMoments("a<i>", line, (thumbnail, broken), 3), VideoMoments("b", line, ())], "A lead.")
    assert "&lt;b&gt;run" in page and "<b>run</b>" not in page and "a&lt;i&gt;" in page
    assert page.count('src="data:image/svg+xml') == 2 and "No picture. cut short" in page and "3 more are in" in page
    assert '<div class="clips"><div class="grid">' in page  # moments lie beside each other
    assert "No action was found." in page and "<script" not in page and 'src="data:image/webp' in page
