"""Image operations on NumPy arrays and Pillow images, free of TensorFlow.

Images are arrays of shape (height, width, 3), RGB, ``uint8`` 0–255, unless a function says otherwise.
"""
