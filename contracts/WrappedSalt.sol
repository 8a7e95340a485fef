// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IWrappedSalt} from "./interfaces/IWrappedSalt.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @title WrappedSalt
/// @notice Wrapped SALT for chains that have none: a local one, or Citrate before its own is in place.
/// {IWrappedSalt} is the documentation.
contract WrappedSalt is IWrappedSalt, ERC20, ReentrancyGuardTransient {
    using SafeTransferLib for address;

    /// @inheritdoc IWrappedSalt
    bytes32 public constant TRANSFER_WITH_AUTHORIZATION_TYPEHASH = keccak256(
        "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );

    /// @inheritdoc IWrappedSalt
    bytes32 public constant RECEIVE_WITH_AUTHORIZATION_TYPEHASH = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );

    /// @inheritdoc IWrappedSalt
    bytes32 public constant TRANSFER_WITH_FEE_AUTHORIZATION_TYPEHASH = keccak256(
        "TransferWithFeeAuthorization(address from,address to,uint256 value,address treasury,uint256 fee,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );

    /// @inheritdoc IWrappedSalt
    bytes32 public constant CANCEL_AUTHORIZATION_TYPEHASH =
        keccak256("CancelAuthorization(address authorizer,bytes32 nonce)");

    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");

    bytes32 private constant NAME_HASH = keccak256("Wrapped SALT");

    bytes32 private constant VERSION_HASH = keccak256("1");

    mapping(address authorizer => mapping(bytes32 nonce => bool spent)) private authorizationStates;

    constructor() ERC20("Wrapped SALT", "wSALT") {}

    receive() external payable nonReentrant {
        wrap();
    }

    /// @inheritdoc IWrappedSalt
    function deposit() external payable nonReentrant {
        if (msg.value == 0) revert ZeroDeposit();
        wrap();
    }

    /// @inheritdoc IWrappedSalt
    function withdraw(uint256 amount) external nonReentrant {
        emit Withdrawal(msg.sender, amount);
        _burn(msg.sender, amount);

        if (!msg.sender.trySafeTransferETH(amount, gasleft())) revert WithdrawalRefused(msg.sender, amount);
    }

    /// @inheritdoc IWrappedSalt
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        requireUsable(from, nonce, validAfter, validBefore);

        bytes32 structHash = keccak256(
            abi.encode(TRANSFER_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce)
        );
        if (!isSignedBy(from, structHash, v, r, s)) revert InvalidSignature(from);

        useAuthorization(from, nonce);
        _transfer(from, to, value);
    }

    /// @inheritdoc IWrappedSalt
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        if (to != msg.sender) revert CallerNotPayee(msg.sender, to);
        requireUsable(from, nonce, validAfter, validBefore);

        bytes32 structHash =
            keccak256(abi.encode(RECEIVE_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce));
        if (!isSignedBy(from, structHash, v, r, s)) revert InvalidSignature(from);

        useAuthorization(from, nonce);
        _transfer(from, to, value);
    }

    /// @inheritdoc IWrappedSalt
    function transferWithFeeAuthorization(
        address from,
        address to,
        address treasury,
        uint256 value,
        uint256 fee,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        if (fee > value) revert FeeExceedsValue(fee, value);
        if (treasury == address(0)) revert ZeroTreasury();
        requireUsable(from, nonce, validAfter, validBefore);

        bytes32 structHash = keccak256(
            abi.encode(
                TRANSFER_WITH_FEE_AUTHORIZATION_TYPEHASH, from, to, value, treasury, fee, validAfter, validBefore, nonce
            )
        );
        if (!isSignedBy(from, structHash, v, r, s)) revert InvalidFeeAuthorization();

        useAuthorization(from, nonce);
        if (value > fee) _transfer(from, to, value - fee);
        if (fee > 0) _transfer(from, treasury, fee);
    }

    /// @inheritdoc IWrappedSalt
    function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external {
        requireUnspent(authorizer, nonce);

        bytes32 structHash = keccak256(abi.encode(CANCEL_AUTHORIZATION_TYPEHASH, authorizer, nonce));
        if (!isSignedBy(authorizer, structHash, v, r, s)) revert InvalidSignature(authorizer);

        authorizationStates[authorizer][nonce] = true;
        emit AuthorizationCanceled(authorizer, nonce);
    }

    /// @inheritdoc IWrappedSalt
    function authorizationState(address authorizer, bytes32 nonce) external view returns (bool) {
        return authorizationStates[authorizer][nonce];
    }

    /// @inheritdoc IWrappedSalt
    /// @dev Built at every call: a chain id that changed in a fork can then not leave an old one behind. OpenZeppelin's
    /// EIP712 would keep it, but brings `eip712Domain()`, which Citrate's token does not have.
    function DOMAIN_SEPARATOR() public view returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPEHASH, NAME_HASH, VERSION_HASH, block.chainid, address(this)));
    }

    function wrap() private {
        emit Deposit(msg.sender, msg.value);
        _mint(msg.sender, msg.value);
    }

    function useAuthorization(address authorizer, bytes32 nonce) private {
        authorizationStates[authorizer][nonce] = true;
        emit AuthorizationUsed(authorizer, nonce);
    }

    /// @dev The times are those of ERC-3009; a block producer can move them by seconds, and gains nothing by it.
    // forge-lint: disable-next-item(block-timestamp)
    function requireUsable(address authorizer, bytes32 nonce, uint256 validAfter, uint256 validBefore) private view {
        if (block.timestamp <= validAfter) revert AuthorizationNotYetValid(validAfter, block.timestamp);
        if (block.timestamp >= validBefore) revert AuthorizationExpired(validBefore, block.timestamp);
        requireUnspent(authorizer, nonce);
    }

    function requireUnspent(address authorizer, bytes32 nonce) private view {
        if (authorizationStates[authorizer][nonce]) revert AuthorizationSpent(authorizer, nonce);
    }

    /// @dev An account is asked for its key's signature alone, never for its code: one with an EIP-7702 delegation still
    /// signs. OpenZeppelin's recovery refuses a high s, a v other than 27 and 28, and the zero signer.
    function isSignedBy(address authorizer, bytes32 structHash, uint8 v, bytes32 r, bytes32 s)
        private
        view
        returns (bool)
    {
        bytes32 digest = MessageHashUtils.toTypedDataHash(DOMAIN_SEPARATOR(), structHash);
        // The third value only details the error.
        // slither-disable-next-line unused-return
        (address signer, ECDSA.RecoverError err,) = ECDSA.tryRecover(digest, v, r, s);
        return err == ECDSA.RecoverError.NoError && signer == authorizer;
    }
}
