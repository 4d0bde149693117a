"""What features of one net are worth on another data set: a linear SVM, PCA before it, neighbours, fine-tuning."""
