"""What the networks are: architectures and their walk, the zoo's rows, exact counts, Keras builders."""
