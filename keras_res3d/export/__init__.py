"""From a Keras model to a file that others run: SavedModel, LiteRT, ONNX, OpenVINO, each checked before it is done."""
