"""Keras models of the super-resolution GAN: generator, discriminator and VGG19 features.

Importing this package does not import TensorFlow; its modules other than ``parameters`` do.
"""
